from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import perovskite
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from qperov import PXRDFeaturizer, powder_patterns
from qperov.descriptors import RankPCA
from qperov.diffraction.measured import (
    MeasuredPattern,
    bragg_angles,
    kalpha_doublet,
    strip_kalpha2,
    subtract_background,
)
from qperov.diffraction.measured_reading import read_measured_pattern
from qperov.diffraction.profiles import ProfileGrid
from qperov.errors import (
    DescriptorError,
    EmptyFileError,
    FileFormatError,
    MissingDependencyError,
    UnreadableFileError,
)

ANGLES = np.round(10 + 0.02 * np.arange(40), 4)
COUNTS = np.array([120, 133, 118, 1250, 940, 131, 127, 125] * 5)
TABLE = list(zip(ANGLES.tolist(), COUNTS.tolist(), strict=True))
DOUBLET = [("CuKa1", 1.0), ("CuKa2", 0.5)]


def rows(pattern: str) -> str:
    return "".join(pattern.format(x=x, y=y) + "\n" for x, y in TABLE)


def comma(text: str) -> str:
    return text.replace(".", ",")


PANALYTICAL = """[Measurement conditions]
Sample identification,CsPbBr3
Anode material,Cu
K-Alpha1 wavelength,1.540598
K-Alpha2 wavelength,1.544426
Ratio K-Alpha2/K-Alpha1,{ratio}
Scan range,10.0,10.8
[Scan points]
Angle,TimePerStep,Intensity,ESD
"""
UXD = """; C:\\data\\scan.raw
_FILEVERSION=2
_SAMPLE='CsPbBr3'
_WL1 = 1.540600
_WL2 = 1.544390
_WLRATIO = 0.500000
; (Data for Range number 1)
_DRIVE='COUPLED'
_STEPTIME=1.0
_STEPSIZE=0.020000
_START=10.000000
"""
XRDML = """<?xml version="1.0" encoding="UTF-8"?>
<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.5">
 <xrdMeasurement><usedWavelength intended="K-Alpha"><kAlpha1 unit="Angstrom">1.5405980</kAlpha1>
 <kAlpha2 unit="Angstrom">1.5444260</kAlpha2><ratioKAlpha2KAlpha1>0.5000</ratioKAlpha2KAlpha1></usedWavelength>
 <scan><dataPoints>
 <positions axis="Omega" unit="deg"><startPosition>5.0</startPosition><endPosition>5.39</endPosition></positions>
 <positions axis="2Theta" unit="deg">{positions}</positions>
 <intensities unit="counts">{counts}</intensities></dataPoints></scan></xrdMeasurement></xrdMeasurements>
"""
ENDS = f"<startPosition>{ANGLES[0]}</startPosition><endPosition>{ANGLES[-1]}</endPosition>"
LISTED = f"<listPositions>{' '.join(map(str, ANGLES))}</listPositions>"
MEAN = (2 * 1.540598 + 1.544426) / 3

FILES = {
    "plain.xy": (rows("{x} {y}"), None),
    "tabs.dat": ("2theta\tcounts\n" + rows("{x}\t{y}"), None),
    "errors.xye": ("# 2theta I sigma\n" + rows("  {x:9.4f}   {y}.00   11.5"), None),
    "comma.csv": ("Angle,Intensity\n" + rows("{x},{y}"), None),
    "windows.csv": ("\ufeff2Theta (°), I (counts)\r\n" + rows("{x}, {y}").replace("\n", "\r\n"), None),
    "quoted.csv": (rows('"{x}","{y}"'), None),
    "german.csv": ("2Theta;Intensität\n" + comma(rows("{x};{y}.5")), None),
    "german.txt": ("! Messung vom 3.5.\n" + comma(rows("{x}\t{y}.5")), None),
    "whole.csv": ("".join(f"{10 + i},{y}\n" for i, y in enumerate(COUNTS)), None),
    "numbers.txt": ("40\n10.0 10.78\n2theta counts\n" + rows("{x} {y}") + "\nEND 40 points\n", None),
    "columns.csv": ("Counts,Point,2theta (deg)\n" + rows("{y},1,{x}"), None),
    "radians.csv": ("2theta (rad),I\n" + "".join(f"{float(np.radians(x))!r},{y}\n" for x, y in TABLE), None),
    "exponent.xy": (rows("{x:.8e} {y:.6E}"), None),
    "comments.xy": (rows("{x} {y}").replace("\n", "\n# pause\n\n", 1) + "% end\n", None),
    "down.xy": ("".join(f"{x} {y}\n" for x, y in reversed(TABLE)), None),
    "wave.xy": ("# Wavelength = 0.4139 Å\n" + rows("{x} {y}"), 0.4139),
    "eva.xy": ('\'Id: "x" Comment: "" Anode: "Cu" Scantype: "Coupled TwoTheta/Theta"\n' + rows("{x} {y}"), 1.54184),
    "diffrac.txt": (
        ";RAW4.00\n[HardwareConfiguration]\nAlpha1=1.5406\nAlpha2=1.54439\nRatio=0.5\n[Data]\nAngle, PSD,\n"
        + rows("     {x},      {y},"),
        (2 * 1.5406 + 1.54439) / 3,
    ),
    "panalytical.csv": (PANALYTICAL.format(ratio="0.50000") + rows("{x},10.16,{y},12.0"), MEAN),
    "monochromator.csv": (PANALYTICAL.format(ratio="0.00000") + rows("{x},10.16,{y},12.0"), 1.540598),
    "pairs.uxd": (UXD + "_2THETACOUNTS\n" + rows("      {x}      {y}"), (2 * 1.5406 + 1.54439) / 3),
    "counts.uxd": (UXD + "_COUNTS\n" + "\n".join(" ".join(map(str, c)) for c in COUNTS.reshape(-1, 8)), None),
    "ends.xrdml": (XRDML.format(positions=ENDS, counts=" ".join(map(str, COUNTS))), MEAN),
    "listed.xrdml": (XRDML.format(positions=LISTED, counts=" ".join(map(str, COUNTS))), MEAN),
}


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_scan(name, tmp_path):
    text, wavelength = FILES[name]
    pattern = read_measured_pattern(written(tmp_path, name, text))
    expected = COUNTS + 0.5 if name.startswith("german") else COUNTS
    np.testing.assert_allclose(pattern.two_theta, 10 + np.arange(40) if name == "whole.csv" else ANGLES, atol=1e-9)
    np.testing.assert_array_equal(pattern.intensity, expected)
    assert pattern.name == name
    if wavelength is not None:
        assert pattern.wavelength == pytest.approx(wavelength, abs=1e-5)
    has_doublet = name in ("diffrac.txt", "panalytical.csv", "pairs.uxd", "counts.uxd", "ends.xrdml", "listed.xrdml")
    assert (pattern.kalpha is not None) == has_doublet


def test_other_encodings_are_read(tmp_path):
    text = "2θ (°)\tcounts\n" + rows("{x}\t{y}")
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "scan.txt").write_text(text, encoding=encoding)
        np.testing.assert_array_equal(read_measured_pattern(tmp_path / "scan.txt").intensity, COUNTS)
    (tmp_path / "old.txt").write_bytes(text.replace("θ", "th").encode("latin-1"))
    np.testing.assert_array_equal(read_measured_pattern(tmp_path / "old.txt").intensity, COUNTS)


def test_equal_angles_become_their_mean(tmp_path):
    path = written(
        tmp_path, "twice.xy", rows("{x} {y}") + f"{ANGLES[-1]} {COUNTS[-1] + 10}\n{ANGLES[-1] + 0.02} -3.5\n"
    )
    pattern = read_measured_pattern(path)
    assert len(pattern) == 41
    assert pattern.intensity[-2:].tolist() == [COUNTS[-1] + 5, -3.5]


def test_a_wavelength_that_is_said_goes_before_the_header(tmp_path):
    path = written(tmp_path, "p.csv", FILES["panalytical.csv"][0])
    assert read_measured_pattern(path, wavelength="CuKa1").wavelength == 1.54056
    assert read_measured_pattern(path, wavelength="CuKa1").kalpha is None
    assert read_measured_pattern(path, wavelength="CoKa").kalpha == kalpha_doublet("CoKa") == (1.78896, 1.79285)
    assert read_measured_pattern(path).kalpha == (1.540598, 1.544426)


BROKEN = rows("{x} {y}").splitlines()
BAD_FILES = {
    "empty.xy": ("  \n", EmptyFileError, "nothing in it"),
    "words.txt": ("this is\nnot a scan\n" * 20, FileFormatError, "no run of at least 10 lines"),
    "short.xy": ("\n".join(BROKEN[:9]), FileFormatError, "no run of at least 10 lines"),
    "nan.xy": ("\n".join([*BROKEN[:20], "10.4 nan", *BROKEN[21:]]), FileFormatError, r"line 21 breaks .*'10\.4 nan'"),
    "cut.xy": ("\n".join([*BROKEN[:5], "10.1", *BROKEN[6:]]), FileFormatError, "line 6 breaks the columns"),
    "first.xy": ("\n".join(["10.00 nan", *BROKEN[1:]]), FileFormatError, "line 1 breaks"),
    "third.xy": ("\n".join([*BROKEN[:2], "10.04 --", *BROKEN[3:]]), FileFormatError, "line 3 breaks"),
    "last.xy": ("\n".join([*BROKEN[:-1], "10.78"]), FileFormatError, r"line 40 breaks .*'10\.78'"),
    "d.csv": ("d-spacing,Intensity\n" + rows("{x},{y}"), FileFormatError, "'d-spacing', not 2θ"),
    "q.csv": ("Q (1/A),Intensity\n" + rows("{x},{y}"), FileFormatError, "not 2θ"),
    "zigzag.xy": (rows("{x} {y}") * 2, FileFormatError, "up and down"),
    "zero.xy": (rows("{x} 0"), FileFormatError, "no intensity is above zero"),
    "large.xy": ("".join(f"{100 * i} {y}\n" for i, y in enumerate(COUNTS)), FileFormatError, "not 2θ in degrees"),
    "commas.csv": (comma(rows("{x:.2f}")).replace("\n", ",7,5\n"), FileFormatError, "decimals and columns both commas"),
    "two.uxd": ((UXD + "_2THETACOUNTS\n" + rows("{x} {y}")) * 2, FileFormatError, "2 scans in one file"),
    "rocking.uxd": (UXD.replace("COUPLED", "THETA") + "_2THETACOUNTS\n" + rows("{x} {y}"), FileFormatError, "of THETA"),
    "damaged.uxd": (UXD + "_2THETACOUNTS\n10.0 12\n10.02 x7\n", FileFormatError, "damaged"),
    "stepless.uxd": (UXD.replace("_STEPSIZE", "_NOTHING") + "_COUNTS\n1 2 3\n", FileFormatError, "damaged"),
    "cut.xrdml": (XRDML[:300], FileFormatError, "damaged xml"),
    "entity.xrdml": ('<!DOCTYPE x [<!ENTITY a "b">]>\n' + XRDML, FileFormatError, "document type"),
    "omega.xrdml": (XRDML.replace("2Theta", "Chi"), FileFormatError, "no scan over 2θ"),
    "unequal.xrdml": (XRDML.format(positions=LISTED, counts="1 2 3 4"), FileFormatError, "40 angles and 4 intensities"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_scan_is_refused_by_name(name, tmp_path):
    text, error, message = BAD_FILES[name]
    with pytest.raises(error, match=message) as caught:
        read_measured_pattern(written(tmp_path, name, text))
    assert caught.value.path == str(tmp_path / name)


def test_files_that_cannot_be_opened_or_are_binary(tmp_path):
    with pytest.raises(UnreadableFileError, match="No such file"):
        read_measured_pattern(tmp_path / "nothing.xy")
    with pytest.raises(UnreadableFileError):
        read_measured_pattern(tmp_path)
    (tmp_path / "scan.raw").write_bytes(b"RAW1.01\0\0\0\x01\x02" * 50)
    with pytest.raises(FileFormatError, match="binary"):
        read_measured_pattern(tmp_path / "scan.raw")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_but_a_reading_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "scan.xy"
    path.write_bytes(content)
    with pytest.raises((EmptyFileError, FileFormatError)):
        read_measured_pattern(path)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 170_000), st.integers(0, 10**6)), min_size=12, max_size=50, unique_by=lambda p: p[0]
    ),
    st.sampled_from([" ", "\t", ";", ",", ", "]),
    st.booleans(),
)
def test_whatever_is_written_is_read_back(tmp_path_factory, points, separator, decimal_comma):
    points = sorted(points)
    points[0] = (points[0][0], 7)
    lines = [f"{x / 1000:.3f}{separator}{y}" for x, y in points]
    text = "\n".join(lines)
    if decimal_comma and "," not in separator:
        text = comma(text)
    path = tmp_path_factory.mktemp("points") / "scan.xy"
    path.write_text(text)
    pattern = read_measured_pattern(path)
    np.testing.assert_allclose(pattern.two_theta, [x / 1000 for x, _ in points])
    np.testing.assert_array_equal(pattern.intensity, [y for _, y in points])


# --- background and Kα₂ -------------------------------------------------------------------------


def gaussian_scan(centres: list[float], background: np.ndarray, noise: float, seed: int = 0) -> MeasuredPattern:
    rng = np.random.default_rng(seed)
    peaks = sum(1000 * np.exp(-4 * np.log(2) * ((SCAN - c) / 0.3) ** 2) for c in centres)
    return MeasuredPattern(SCAN, peaks + background + noise * rng.normal(size=len(SCAN)), name="scan")


SCAN = np.arange(10.0, 70.0, 0.02)
SLOW = 200 + 800 * np.exp(-(SCAN - 10) / 15)


def test_background_runs_under_peaks_and_through_noise():
    pattern = gaussian_scan([20, 30, 30.6, 45], SLOW, noise=15)
    clean = subtract_background(pattern)
    left = SLOW - (pattern.intensity - clean.intensity)
    assert np.abs(left).max() < 12
    assert abs(left.mean()) < 3, "no bias, although the noise has a width of 15"
    near = np.abs(SCAN[:, None] - [20, 30, 30.6, 45]).min(axis=1) < 0.6
    area = clean.intensity[near].sum() * 0.02
    assert area == pytest.approx(4 * 1000 * 0.3 * np.sqrt(np.pi / np.log(2)) / 2, rel=0.03)
    np.testing.assert_array_equal(clean.two_theta, pattern.two_theta)


def test_background_is_the_reweighted_smoothing_spline():
    pattern = gaussian_scan([20, 33], SLOW, noise=10)
    part = MeasuredPattern(SCAN[:500], pattern.intensity[:500])
    found = part.intensity - subtract_background(part, width=3.0).intensity
    step = (SCAN[499] - SCAN[0]) / 499
    second = np.diff(np.eye(500), 2, axis=0)
    penalty = (3.0 / (2 * np.pi * step)) ** 4 * second.T @ second
    weights = np.ones(500)
    for _ in range(50):
        background = np.linalg.solve(np.diag(weights) + penalty, weights * part.intensity)
        above = part.intensity - background
        mean, deviation = above[above < 0].mean(), above[above < 0].std()
        last, weights = weights, 1 / (1 + np.exp(np.minimum(2 * (above - (2 * deviation - mean)) / deviation, 500)))
        if np.linalg.norm(weights - last) / np.linalg.norm(last) < 1e-3:
            break
    np.testing.assert_allclose(found, background, atol=1e-3)


def test_pattern_without_background_keeps_its_peaks():
    pattern = gaussian_scan([20, 30], np.zeros_like(SCAN), noise=0.5)
    np.testing.assert_allclose(subtract_background(pattern).intensity, pattern.intensity, atol=3)
    line = MeasuredPattern(SCAN, 50 + 3 * SCAN)
    np.testing.assert_allclose(subtract_background(line).intensity, 0, atol=1e-3)


def test_other_backgrounds_come_from_pybaselines(monkeypatch):
    class Baseline:
        def __init__(self, x_data):
            self.x_data = x_data

        def snip(self, data):
            return np.full_like(data, data.min()), {}

    monkeypatch.setitem(sys.modules, "pybaselines", types.SimpleNamespace(Baseline=Baseline))
    pattern = gaussian_scan([20], SLOW, noise=0)
    assert subtract_background(pattern, "snip").intensity.min() == 0
    for name in ("magic", "x_data", "__init__", "_setup"):
        with pytest.raises(ValueError, match="unknown background method"):
            subtract_background(pattern, name)
    monkeypatch.setitem(sys.modules, "pybaselines", None)
    with pytest.raises(MissingDependencyError, match=r"qperov\[measured\]"):
        subtract_background(pattern, "snip")
    with pytest.raises(ValueError, match="width must be positive"):
        subtract_background(pattern, width=0)


def doublet_scan(centre: float, ratio: float = 0.5) -> tuple[MeasuredPattern, np.ndarray]:
    """A peak of both wavelengths and that of Kα₁ alone; Kα₂ stretches the peak as Bragg's law does."""
    first, second = kalpha_doublet("CuKa")
    angles = np.arange(centre - 4, centre + 4, 0.01)

    def shape(x: np.ndarray) -> np.ndarray:
        return np.exp(-4 * np.log(2) * ((x - centre) / 0.12) ** 2)

    source = bragg_angles(angles, second, first)
    stretch = np.gradient(source, angles)
    alone = 1000 * shape(angles)
    return MeasuredPattern(angles, alone + ratio * 1000 * shape(source) * stretch, kalpha=(first, second)), alone


@pytest.mark.parametrize("centre", [12.0, 40.0, 80.0, 130.0])
def test_rachinger_leaves_what_kalpha1_makes(centre):
    pattern, alone = doublet_scan(centre)
    stripped = strip_kalpha2(pattern)
    np.testing.assert_allclose(stripped.intensity, alone, atol=3)
    assert stripped.wavelength == kalpha_doublet("CuKa")[0]
    assert stripped.kalpha is None
    np.testing.assert_array_equal(
        strip_kalpha2(MeasuredPattern(pattern.two_theta, pattern.intensity), "CuKa").intensity, stripped.intensity
    )
    np.testing.assert_array_equal(strip_kalpha2(pattern, ratio=0.0).intensity, pattern.intensity)


def test_stripping_takes_a_third_off_a_flat_pattern():
    flat = MeasuredPattern(np.arange(-1.0, 20.0, 0.05), np.full(420, 300.0), name="flat.xy")
    np.testing.assert_allclose(strip_kalpha2(flat, "CuKa").intensity, 200, rtol=1e-3)
    with pytest.raises(DescriptorError, match=r"flat\.xy: Kα₁ and Kα₂ are not known"):
        strip_kalpha2(flat)
    with pytest.raises(ValueError, match="must be shorter"):
        strip_kalpha2(flat, (1.55, 1.54))
    with pytest.raises(ValueError, match="ratio"):
        strip_kalpha2(flat, "CuKa", ratio=1.0)
    with pytest.raises(ValueError, match="Kα radiation"):
        strip_kalpha2(flat, "CuKa1")


# --- the whole way ------------------------------------------------------------------------------

EDGES = np.linspace(5.7, 6.3, 25)
CRYSTALS = [perovskite(edge=edge) for edge in EDGES]


def measured_file(path: Path, edge: float, seed: int) -> Path:
    """What a diffractometer with both Kα wavelengths, a background and counting noise would write."""
    [pattern] = powder_patterns([perovskite(edge=edge)], wavelength=DOUBLET)
    angles = 8 + 0.02 * np.arange(3700)
    fine = ProfileGrid((8.0, angles[-1]), 0.02, 0.3)
    rate = 150 * fine.broaden(pattern)[: len(angles)] + 300 + 2000 * np.exp(-angles / 12)
    counts = np.random.default_rng(seed).poisson(rate)
    lines = [f"{x:.4f};{y}" for x, y in zip(angles, counts, strict=True)]
    return written(path, f"scan_{seed}.csv", "2Theta;Counts\n" + comma("\n".join(lines)))


@pytest.mark.parametrize("normalization", ["area", "maximum"])
def test_a_measured_file_gives_the_profile_of_its_crystal(normalization, tmp_path):
    settings_ = {"two_theta_range": (10, 80), "width": 0.3, "step": 0.05, "normalization": normalization}
    pattern = read_measured_pattern(measured_file(tmp_path, 6.0, seed=1), wavelength="CuKa")
    clean = subtract_background(pattern)
    for measured, wavelength in ((clean, DOUBLET), (strip_kalpha2(clean), "CuKa1")):
        featurizer = PXRDFeaturizer("profile", wavelength=wavelength, **settings_)
        found, expected = featurizer.transform([measured, perovskite(edge=6.0)])
        assert np.abs(found - expected).max() < 0.04 * expected.max()
        assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)
    raw = PXRDFeaturizer("profile", wavelength=DOUBLET, **settings_).transform([pattern])[0]
    assert np.linalg.norm(raw - expected) > 0.2 * np.linalg.norm(expected), "the background matters"


def test_computed_profiles_predict_from_a_measured_file(tmp_path):
    featurizer = PXRDFeaturizer(
        "profile", wavelength=DOUBLET, two_theta_range=(10, 80), width=0.8, step=0.1, normalization="area"
    )
    model = make_pipeline(featurizer, RankPCA(12), Ridge(1e-3)).fit(CRYSTALS, EDGES)
    edges = np.array([5.83, 6.0, 6.17])
    assert np.abs(model.predict([perovskite(edge=edge) for edge in edges]) - edges).max() < 0.01
    scans = [
        subtract_background(read_measured_pattern(measured_file(tmp_path, edge, seed), wavelength="CuKa"))
        for seed, edge in enumerate(edges)
    ]
    assert np.abs(model.predict(scans) - edges).max() < 0.05
