"""Make the embedded datasets of measured patterns: heo106, fegapd and films.

    python experiments/make_measured.py --data ../shared/data

Patterns are taken as they are published; what is mended, and what is inferred, stands in the cautions of each set.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import pandas as pd

from qperov.datasets.embedded.scans import PatternSet, PatternTarget, write_pattern_set
from qperov.datasets.pattern_dataset import groups_of, series_of
from qperov.diffraction.measured import MeasuredPattern
from qperov.diffraction.measured_reading import read_measured_pattern
from qperov.diffraction.radiation import wavelength_in_angstrom

OUT = Path(__file__).parents[1] / "qperov" / "datasets" / "embedded" / "data"
#: Å; Ga Kβ, with which peaks and lattice parameters of heo106 agree.
GALLIUM_KBETA = 1.2079
#: A lattice parameter above this (Å) is that of the doubled cell of bixbyite.
DOUBLED = 8.0
#: Atom %: an element of a five-component oxide that has no more is what its series varies.
VARIED = 18.0
#: Side of the squares of Ga and Pd content that make the groups of fegapd.
SQUARE = 0.05

HEO_SOURCES = (
    "L. Velasco et al., Advanced Materials 33, 2102301 (2021); data of the public repository aimat-lab/ML4HEOs, MIT "
    "licence.",
)
FEGAPD_SOURCES = (
    "A. G. Kusne et al., Nature Communications 11, 5966 (2020); data of the public repository KusneNIST/CAMEO_NComm, "
    "NIST public service notice.",
    "C. J. Long et al., Review of Scientific Instruments 78, 072217 (2007).",
)
FILMS_SOURCES = (
    "F. Oviedo et al., npj Computational Materials 5, 60 (2019), doi:10.1038/s41524-019-0196-x; 53 of the patterns of "
    "the public repository PV-Lab/autoXRD, Apache-2.0 licence.",
)


def heo106(folder: Path) -> PatternSet:
    """Rare-earth oxides: lattice parameter, crystallite size, structure."""
    table = pd.read_csv(folder / "samples.csv", dtype=str)
    swapped = table["sample"] == "6"
    last = ["lattice_parameter_angstrom", "crystallite_size_nm"]
    table.loc[swapped, last] = table.loc[swapped, last[::-1]].to_numpy()
    profiles = pd.read_csv(folder / "patterns.csv.gz")
    angles = profiles["two_theta_deg"].to_numpy()
    printed = [_number(text) for text in table[last[0]]]
    fluorite = [None if a is None else round(a / 2 if a > DOUBLED else a, 6) for a in printed]
    structures = [_structure(text) for text in table["crystal_structure"]]
    return PatternSet(
        name="heo106",
        patterns=tuple(
            MeasuredPattern(angles, profiles[sample].to_numpy(), GALLIUM_KBETA, None, f"heo106-{int(sample):03d}")
            for sample in table["sample"]
        ),
        groups=tuple(groups_of([_varied(row) for _, row in table.iterrows()]).tolist()),
        targets={
            "lattice_parameter": PatternTarget(
                "Å",
                tuple(fluorite),
                "published refinement, as the parameter of a fluorite cell: half of what is printed for bixbyite",
                "hexagonal: no parameter of a fluorite cell",
                (
                    f"Printed parameters above {DOUBLED:g} Å are those of the doubled cell of bixbyite, and halved.",
                    "Samples 24 and 89 carry the same printed labels (10.95435 Å, 60.7 nm), although compositions "
                    "and patterns differ: one of them is a slip of the source.",
                ),
            ),
            "crystallite_size": PatternTarget(
                "nm", tuple(_number(text) for text in table[last[1]]), "published refinement of the major phase"
            ),
            "structure": PatternTarget(
                None,
                tuple(structures),
                "published refinement, at least 98 % of one phase",
                "a mixture, or neither fluorite nor bixbyite",
            ),
        },
        cautions=(
            "Lattice parameter and crystallite size of sample 6 stand in each other's columns in the source, and were "
            "put right here.",
            f"The wavelength is not stated by the source; {GALLIUM_KBETA} Å (Ga Kβ) is inferred from peaks and lattice "
            "parameters.",
            "Intensities are scaled to a maximum of one in each pattern; counting statistics are lost.",
            "Groups join samples whose composition falls short in the same elements (absent, or at most "
            f"{VARIED:g} atom %): one composition series each.",
        ),
        sources=HEO_SOURCES,
        intensity_step=1e-5,
    )


def fegapd(folder: Path) -> PatternSet:
    """The Fe–Ga–Pd spread: magnetisation, phase region."""
    table = np.loadtxt(folder / "FeGaPd_XRD.txt.gz", delimiter=",")
    composition = np.loadtxt(folder / "FeGaPd_CMP.txt", skiprows=1)
    raw, filled = np.loadtxt(folder / "FeGaPd_Mag.txt", delimiter=",").T
    regions = np.loadtxt(folder / "FeGaPd_DFT_regions.txt", dtype=int)
    squares = [f"{ga},{pd}" for ga, pd in np.floor(composition[:, 1:] / SQUARE).astype(int)]
    return PatternSet(
        name="fegapd",
        patterns=tuple(
            MeasuredPattern(table[0], counts, wavelength_in_angstrom("CuKa"), None, f"fegapd-{i:03d}")
            for i, counts in enumerate(table[1:])
        ),
        groups=tuple(groups_of(squares).tolist()),
        targets={
            "magnetisation": PatternTarget(
                "V",
                tuple(filled.tolist()),
                "voltage of a scanning SQUID",
                cautions=(
                    f"The magnetisation is the voltage of a scanning SQUID; {int((raw != filled).sum())} saturated "
                    "values were filled by the authors.",
                ),
            ),
            "region": PatternTarget(
                None, tuple(str(region) for region in regions), "phase region by DFT, as numbered by the authors"
            ),
        },
        cautions=(
            "The wavelength is not stated by the source; Cu Kα is inferred from the place of the (110) line of "
            "iron-rich samples.",
            f"Groups join samples in one {100 * SQUARE:g} × {100 * SQUARE:g} atom % square of Ga and Pd content; "
            "neighbours across the border of two squares are still alike.",
        ),
        sources=FEGAPD_SOURCES,
        intensity_step=1e-3,
    )


def films(folder: Path) -> PatternSet:
    """Halide perovskite films: space group."""
    patterns, groups, classes = [], [], []
    for file in sorted(folder.glob("*/*.xy")):
        pattern = read_measured_pattern(file, wavelength="CuKa", skip_bad_lines=True)
        name = file.name.removesuffix(".xy")
        space_group = {"I4Imcm": "I4/mcm", "P21a": "P21/a", "P61mmc": "P63/mmc", "pm-3m": "Pm-3m"}.get(
            file.parent.name, file.parent.name
        )
        axes = re.search(r"_(2-Theta(?:_Omega)?)$", name)
        patterns.append(
            MeasuredPattern(
                pattern.two_theta,
                pattern.intensity,
                pattern.wavelength,
                pattern.kalpha,
                f"{file.parent.name}/{name}",
                geometry="grazing incidence" if re.search("gi?xi?r?d", name, re.IGNORECASE) else axes and axes[1],
                unit="counts",
                remarks=pattern.remarks,
            )
        )
        groups.append(series_of(name) or f"numbered, {file.parent.name}")
        classes.append(space_group)
    mended = sum(bool(pattern.remarks) for pattern in patterns)
    return PatternSet(
        name="films",
        patterns=tuple(patterns),
        groups=tuple(groups_of(groups).tolist()),
        targets={
            "space_group": PatternTarget(
                None,
                tuple(classes),
                "space group by the authors; P63/mmc, I4/mcm and P21/a are P61mmc, I4Imcm and P21a as published",
            )
        },
        cautions=(
            f"In {mended} files the columns touch where counts are high, which hides the tops of peaks from readers of "
            "columns; such lines were split, as the remarks of these patterns say.",
            "Several diffractometers and geometries, some scans cut to one peak; sample displacement is real: first "
            "peaks of one composition series are not in the order of composition.",
            "Groups join films of one series by the first word of the file's name without amounts and digits; films "
            "that have a number only are one batch.",
        ),
        sources=FILMS_SOURCES,
        intensity_step=0.01,
    )


def _number(text: str) -> float | None:
    match = re.fullmatch(r"\*?(\d+(?:\.\d+)?)", str(text).strip())
    return float(match[1]) if match else None


def _structure(text: str) -> str | None:
    match = re.match(r"(Fm-3m|Ia-3)\s*\((\d+(?:\.\d+)?)%\)", text)
    return {"Fm-3m": "fluorite", "Ia-3": "bixbyite"}[match[1]] if match and float(match[2]) >= 98 else None


def _varied(row: pd.Series) -> str:
    """The elements of which a sample has little or nothing."""
    contents = {name.split("_")[0]: str(row[name]).split("±")[0] for name in row.index if name.endswith("_at_percent")}
    return "-".join(element for element, share in contents.items() if share == "-" or float(share) <= VARIED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the published files")
    parser.add_argument("--out", type=Path, default=OUT, help="folder that receives the files")
    options = parser.parse_args()
    for make in (heo106, fegapd, films):
        patterns = make(options.data / make.__name__)
        path = options.out / f"{patterns.name}.json.gz"
        write_pattern_set(patterns, path)
        print(
            f"{path.name}: {len(patterns.patterns)} patterns, {len(set(patterns.groups))} groups, "
            f"{path.stat().st_size / 1e3:.0f} kB"
        )


if __name__ == "__main__":
    main()
