"""Files of scans: several in one, Rigaku's and Bruker's formats, damaged lines, and what no counter gives."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qperov.diffraction.measured import MeasuredPattern
from qperov.diffraction.measured_reading import read_measured_pattern, read_scans
from qperov.errors import (
    AngleOrderError,
    EmptyFileError,
    FileFormatError,
    IntensityError,
    QperovError,
    ReadingError,
    UnreadableFileError,
    WavelengthError,
)

ANGLES = 20 + 0.02 * np.arange(100)
COUNTS = np.rint(50 + 900 * np.exp(-0.5 * ((ANGLES - 21) / 0.05) ** 2)).astype(int)
ROWS = [f"{x:.2f} {y}" for x, y in zip(ANGLES, COUNTS, strict=True)]
DATA = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def patterns_of(path: Path, **options: object) -> list[MeasuredPattern]:
    scans = read_scans(path, **options)
    assert all(isinstance(scan, MeasuredPattern) for scan in scans), scans
    return scans


def only_error(path: Path, **options: object) -> ReadingError:
    (scan,) = read_scans(path, **options)
    assert isinstance(scan, ReadingError)
    return scan


# --- several scans in one file ------------------------------------------------------------------

SCAN = """<scan scanAxis="{axis}"><dataPoints><positions axis="2Theta" unit="deg">
<startPosition>20.0</startPosition><endPosition>21.98</endPosition></positions>
{factor}<{tag} unit="counts">{counts}</{tag}></dataPoints></scan>"""
XRDML = """<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.5"><xrdMeasurement><usedWavelength>
<kAlpha1>1.5405980</kAlpha1><kAlpha2>1.5444260</kAlpha2><ratioKAlpha2KAlpha1>0.5</ratioKAlpha2KAlpha1>
</usedWavelength>{scans}</xrdMeasurement></xrdMeasurements>"""


def xrdml(*counts: np.ndarray, tag: str = "intensities", factor: str = "") -> str:
    scans = [
        SCAN.format(axis="Gonio", tag=tag, factor=factor, counts=" ".join(map(str, each.tolist()))) for each in counts
    ]
    return XRDML.format(scans="".join(scans))


def test_all_scans_of_an_xrdml_file_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "film.xrdml", xrdml(COUNTS, 2 * COUNTS, COUNTS[:4]))
    first, second, third = read_scans(path)
    assert np.array_equal(first.intensity, COUNTS)
    assert np.array_equal(second.intensity, 2 * COUNTS)
    assert (first.name, first.geometry, first.unit) == ("film.xrdml#0", "Gonio", "counts")
    assert first.kalpha == (1.540598, 1.544426)
    assert isinstance(third, FileFormatError)
    with pytest.raises(FileFormatError, match="3 scans in one file"):
        read_measured_pattern(path)


def test_counts_are_corrected_for_the_attenuator(tmp_path: Path) -> None:
    """In schema 2 the list is what the detector received; in schema 1 it is corrected already."""
    factor = "<commonBeamAttenuationFactor>10</commonBeamAttenuationFactor>"
    raw, corrected = (
        patterns_of(written(tmp_path, f"{tag}.xrdml", xrdml(COUNTS, tag=tag, factor=factor)))[0]
        for tag in ("counts", "intensities")
    )
    assert np.array_equal(raw.intensity, 10 * COUNTS)
    assert np.array_equal(corrected.intensity, COUNTS)


def test_all_ranges_of_a_uxd_file_are_read(tmp_path: Path) -> None:
    head = "_FILEVERSION=2\n_WL1=1.5406\n"
    part = "; range\n_DRIVE='{drive}'\n_STEPSIZE=0.02\n_START=20\n_{unit}\n" + " ".join(map(str, COUNTS)) + "\n"
    parts = [part.format(drive="COUPLED", unit="COUNTS"), part.format(drive="PHI", unit="COUNTS")]
    path = written(tmp_path, "two.uxd", head + "".join([*parts, part.format(drive="2THETA", unit="CPS")]))
    first, second, third = read_scans(path)
    assert np.allclose(first.two_theta, ANGLES)
    assert isinstance(second, FileFormatError)
    assert "PHI" in str(second)
    assert (first.wavelength, first.unit, third.unit, third.geometry) == (1.5406, "counts", "counts/s", "2theta")


RAS = (
    "*RAS_DATA_START\n"
    + (
        '*RAS_HEADER_START\n*HW_XG_WAVE_LENGTH_ALPHA1 "1.540593"\n*HW_XG_WAVE_LENGTH_ALPHA2 "1.544414"\n'
        '*MEAS_SCAN_AXIS_X "TwoThetaTheta"\n*MEAS_SCAN_UNIT_Y "{unit}"\n*RAS_HEADER_END\n*RAS_INT_START\n{rows}\n'
        "*RAS_INT_END\n"
    )
    * 2
    + "*RAS_DATA_END\n"
)


def test_rigaku_text_files(tmp_path: Path) -> None:
    rows = "\n".join(f"{row} 1" for row in ROWS)
    first, second = patterns_of(written(tmp_path, "two.ras", RAS.format(rows=rows, unit="cps")))
    assert np.array_equal(first.intensity, COUNTS)
    assert np.array_equal(second.two_theta, first.two_theta)
    assert (first.kalpha, first.unit, first.geometry) == ((1.540593, 1.544414), "counts/s", "TwoThetaTheta")
    attenuated = rows.replace("950 1", "950 8")
    (error, _) = read_scans(written(tmp_path, "attenuated.ras", RAS.format(rows=attenuated, unit="counts")))
    assert isinstance(error, FileFormatError)
    assert "attenuator" in str(error)
    cut = RAS.format(rows=rows, unit="counts").partition("*RAS_INT_END")[0]
    assert "cut short" in str(only_error(written(tmp_path, "cut.ras", cut)))


def rasx(path: Path, profiles: dict[str, str]) -> Path:
    conditions = (
        "<M><Axis><WavelengthKalpha1>1.540593</WavelengthKalpha1></Axis><IntensityUnit>counts</IntensityUnit></M>"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("root.xml", "<root/>")
        for name, text in profiles.items():
            archive.writestr(name, "\ufeff" + text)
            archive.writestr(name.replace("Profile", "MesurementConditions").replace(".txt", ".xml"), conditions)
    return path


def test_rigaku_archives_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    texts = {}
    for i in (0, 10, 2):
        texts[f"Data{i}/Profile{i}.txt"] = "\n".join(
            f"{x:.2f}\t{y + i}\t1" for x, y in zip(ANGLES, COUNTS, strict=True)
        )
    scans = patterns_of(rasx(tmp_path / "map.rasx", texts))
    assert [int(scan.intensity[0]) - int(COUNTS[0]) for scan in scans] == [0, 2, 10]
    assert (scans[0].wavelength, scans[0].unit) == (1.540593, "counts")


def test_damaged_rigaku_archives(tmp_path: Path) -> None:
    assert "damaged archive" in str(only_error(written(tmp_path, "junk.rasx", b"PK\x03\x04junk" * 9)))
    assert "no Data" in str(only_error(rasx(tmp_path / "empty.rasx", {})))
    error = only_error(rasx(tmp_path / "words.rasx", {"Data0/Profile0.txt": "20.0\t12\t1\nnothing here"}))
    assert "line 2 holds 'nothing here'" in str(error)


def bruker_raw(n: int = 60) -> bytes:
    """RAW1.01 of one range: a header of 712 bytes, a range header of 304, then 32-bit intensities."""
    head = bytearray(712)
    head[:8] = b"RAW1.01\0"
    struct.pack_into("<I", head, 12, 1)
    part = bytearray(304)
    struct.pack_into("<II", part, 0, 304, n)
    struct.pack_into("<d", part, 16, 20.0)
    struct.pack_into("<d", part, 176, 0.02)
    struct.pack_into("<I", part, 252, 4)
    return bytes(head) + bytes(part) + struct.pack(f"<{n}f", *map(float, COUNTS[:n]))


def test_binary_files_of_bruker(tmp_path: Path) -> None:
    pytest.importorskip("geddes", reason="the extra 'measured' is not installed")
    (pattern,) = patterns_of(written(tmp_path, "film.raw", bruker_raw()), wavelength="CuKa")
    assert np.allclose(pattern.two_theta, ANGLES[:60])
    assert np.array_equal(pattern.intensity, COUNTS[:60])
    assert "damaged or unknown binary" in str(only_error(written(tmp_path, "cut.raw", bruker_raw()[:900])))


def test_binary_files_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "geddes", None)
    error = only_error(written(tmp_path, "film.raw", bruker_raw()))
    assert isinstance(error, UnreadableFileError)
    assert 'pip install "qperov[measured]"' in str(error)


# --- damaged lines ------------------------------------------------------------------------------


def test_bad_lines_are_refused_or_skipped_and_counted(tmp_path: Path) -> None:
    rows = [*ROWS[:40], "20.80", "20.81 nan", *ROWS[41:]]
    path = written(tmp_path, "bad.xy", "\n".join(rows))
    with pytest.raises(FileFormatError, match="line 42 breaks"):
        read_measured_pattern(path)
    pattern = read_measured_pattern(path, skip_bad_lines=True)
    assert len(pattern) == 99
    assert pattern.remarks == ("2 bad lines skipped (line 41: '20.80'; line 42: '20.81 nan')",)


def test_lines_whose_columns_touch_are_split(tmp_path: Path) -> None:
    """Fields of fixed width leave no blank before a large count: the tops of peaks."""
    large = [f"{x:7.4f}{y * 20:5d}" for x, y in zip(ANGLES, COUNTS, strict=True)]
    assert large[50] == "21.000019000"
    path = written(tmp_path, "fused.xy", "\n".join(large))
    pattern = read_measured_pattern(path, skip_bad_lines=True)
    assert np.array_equal(pattern.intensity, 20 * COUNTS)
    (remark,) = pattern.remarks
    assert "split, where 2θ and intensity touch" in remark


def test_repeated_angles_are_said(tmp_path: Path) -> None:
    rows = [*ROWS[:50], ROWS[49], *ROWS[50:]]
    (pattern,) = patterns_of(written(tmp_path, "twice.xy", "\n".join(rows)), wavelength="CuKa")
    assert len(pattern) == 100
    assert "1 repeated angles became their mean (the first at line 51)" in pattern.remarks


# --- what no counter gives ----------------------------------------------------------------------


def test_bad_scans_have_named_errors_with_file_and_line(tmp_path: Path) -> None:
    top = [f"{x:.2f} {min(y, 600)}" for x, y in zip(ANGLES, COUNTS, strict=True)]
    negative = [*ROWS[:9], "20.18 -3", *ROWS[10:]]
    unsorted = [*ROWS[:50], ROWS[3], *ROWS[50:]]
    cases = {
        "unknown.xy": (ROWS, WavelengthError, "no wavelength"),
        "negative.xy": (["# lambda = 1.5406", *negative], IntensityError, "line 11: intensity -3"),
        "saturated.xy": (["# lambda = 1.5406", *top], IntensityError, "flat at 600"),
        "unsorted.xy": (
            ["# lambda = 1.5406", *unsorted],
            AngleOrderError,
            "line 52: the angle goes from 20.98 to 20.06",
        ),
        "empty.xy": ([], EmptyFileError, "nothing in it"),
    }
    for name, (rows, kind, words) in cases.items():
        error = only_error(written(tmp_path, name, "\n".join(rows)))
        assert type(error) is kind, name
        assert name in error.path
        assert words in error.reason, error


def test_an_unknown_wavelength_can_be_said(tmp_path: Path) -> None:
    (pattern,) = patterns_of(written(tmp_path, "scan.xy", "\n".join(ROWS)), wavelength="unknown")
    assert pattern.wavelength is None


@pytest.mark.parametrize("name", ["a.rasx", "a.ras", "a.raw", "a.brml", "a.uxd", "a.xrdml", "a.xy"])
def test_no_bytes_raise_anything_but_errors_of_ours(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    good = {
        "a.rasx": rasx(
            tmp_path / "good.rasx", {"Data0/Profile0.txt": "\n".join(f"{row} 1" for row in ROWS)}
        ).read_bytes(),
        "a.ras": RAS.format(rows="\n".join(ROWS), unit="counts").encode(),
        "a.raw": bruker_raw(),
        "a.xrdml": xrdml(COUNTS).encode(),
    }.get(name, "\n".join(ROWS).encode())
    for _ in range(30):
        damaged = bytearray(good[: rng.integers(1, len(good))])
        for place in rng.integers(0, len(damaged), 5):
            damaged[place] = rng.integers(0, 256)
        for scan in read_scans(written(tmp_path, name, bytes(damaged)), wavelength="CuKa", skip_bad_lines=True):
            assert isinstance(scan, MeasuredPattern | QperovError)


@needs_data
def test_damaged_films_are_read_with_the_tops_of_their_peaks() -> None:
    folder = DATA / "films" / "I4Imcm"
    path = folder / "50% SnPerovskite at 0.5M 4to1 dmftodmso.xy"
    assert "line 373 breaks" in str(only_error(path, wavelength="CuKa"))
    (pattern,) = patterns_of(path, wavelength="CuKa", skip_bad_lines=True)
    assert pattern.intensity[np.searchsorted(pattern.two_theta, 14.1185)] == 4847
    assert len(pattern) == 1412
