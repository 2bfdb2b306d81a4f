"""Make the embedded dataset perov5: 18,928 ABX₃ cells relaxed by DFT, in the splits of the generators' benchmark.

    python experiments/make_perov5.py --data ../shared/data/perov5

Cells and split names are taken as they are distributed; labels are those of the split that has any.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import pandas as pd
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar

from qperov.datasets.embedded.perov5 import (
    CrystalSplits,
    CrystalTarget,
    read_crystal_splits,
    write_crystal_splits,
)

NAME, LABELLED = "perov5", "val"
OUT = Path(__file__).parents[1] / "qperov" / "datasets" / "embedded" / "data" / f"{NAME}.json.gz"
SPLITS = ("train", "val", "test")
SOURCE = "DFT, I. E. Castelli et al., Energy Environ. Sci. 5, 5814 and 9034 (2012): "
TARGETS = {
    "heat_all": ("eV/cell", "heat of formation (RPBE), the scale on which matbench_perovskites is scored"),
    "heat_ref": ("eV/cell", "heat of formation against another reference, the label of the generators' benchmark"),
    "dir_gap": ("eV", "direct band gap"),
    "ind_gap": ("eV", "indirect band gap"),
}
CAUTIONS = (
    "The standard split leaks: nearly every composition occurs twice, with A and B exchanged, and the two are split at "
    "random; groups here are compositions.",
    "Cells are cubic, of five atoms, and their atoms moved along one axis alone: no octahedron can tilt. Many of the "
    "compounds would decompose.",
)


def read_split(path: Path) -> dict[str, Structure]:
    """Crystals by id."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        entries = [json.loads(line) for line in lines]
    return {entry["id"]: Poscar.from_str(entry["poscar"]).structure for entry in entries}


def main(data: Path, out: Path) -> None:
    """Read, write, tell what is in it."""
    crystals = {split: read_split(data / f"{split}.jsonl.gz") for split in SPLITS}
    table = pd.read_csv(data / f"{LABELLED}_labels.csv", dtype={"material_id": str}).set_index("material_id")
    labels = table.loc[list(crystals[LABELLED])]
    splits = CrystalSplits(
        name=NAME,
        crystals=crystals,
        labelled=LABELLED,
        targets={
            column: CrystalTarget(unit, tuple(labels[column].tolist()), SOURCE + what)
            for column, (unit, what) in TARGETS.items()
        },
        cautions=CAUTIONS,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_crystal_splits(splits, out)
    for split, found in read_crystal_splits(out).crystals.items():
        print(f"{split}: {len(found)} crystals")
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/perov5"), help="folder of the splits")
    parser.add_argument("--out", type=Path, default=OUT)
    main(**vars(parser.parse_args()))
