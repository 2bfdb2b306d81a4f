"""Crystals in named splits of which one has labels, as one small file; so Perov-5, its 18,928 cells relaxed by DFT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.embedded.compact_file import (
    POSITION_STEP,
    cell_of,
    embedded_compact,
    read_compact,
    rounded_cell,
    write_compact,
)
from qperov.errors import DatasetNameError

_WHAT = "a set of crystals in splits"


@dataclass(frozen=True, eq=False)
class CrystalTarget:
    """One quantity of the crystals of the labelled split.

    Attributes
    ----------
    unit : str
    values : tuple of float
        One a crystal.
    provenance : str
        Where the labels come from.
    """

    unit: str
    values: tuple[float, ...]
    provenance: str


@dataclass(frozen=True, eq=False)
class CrystalSplits:
    """Crystals in the splits in which they are distributed.

    Attributes
    ----------
    name : str
    crystals : dict of str to dict of str to Structure
        Split → id → crystal.
    labelled : str
        The split that has labels.
    targets : dict of str to CrystalTarget
        The first is the one that is taken where none is named.
    cautions : tuple of str
    """

    name: str
    crystals: Mapping[str, Mapping[str, Structure]]
    labelled: str
    targets: Mapping[str, CrystalTarget]
    cautions: tuple[str, ...]

    def dataset(self, target: str | None = None, split: str | None = None) -> CrystalDataset:
        """One split, the labelled one by default. Crystals of one composition are of one group.

        Raises
        ------
        DatasetNameError
            If there is no such split or target.
        """
        split = split or self.labelled
        if split not in self.crystals:
            raise DatasetNameError(f"{self.name} has no split {split!r}; it has {', '.join(self.crystals)}")
        if split != self.labelled and target is not None:
            raise DatasetNameError(f"{self.name} has labels of its split {self.labelled!r} alone, not of {split!r}")
        name = target or next(iter(self.targets))
        if name not in self.targets:
            raise DatasetNameError(f"{self.name} has no target {name!r}; it has {', '.join(self.targets)}")
        chosen = self.targets[name] if split == self.labelled else None
        crystals = self.crystals[split]
        formulas = [structure.composition.reduced_formula for structure in crystals.values()]
        return CrystalDataset(
            name=self.name if chosen else f"{self.name}-{split}",
            structures=tuple(crystals.values()),
            ids=tuple(crystals),
            y=np.array(chosen.values) if chosen else None,
            target=name if chosen else None,
            unit=chosen.unit if chosen else None,
            provenance=(chosen.provenance,) * len(crystals) if chosen else (),
            cautions=self.cautions,
            known_groups=np.unique(formulas, return_inverse=True)[1],
        )


def write_crystal_splits(splits: CrystalSplits, path: str | Path) -> None:
    """Write a set as compressed JSON; equal sets give equal bytes."""
    content = {
        "name": splits.name,
        "cautions": list(splits.cautions),
        "labelled": splits.labelled,
        "targets": {name: {**vars(target), "values": list(target.values)} for name, target in splits.targets.items()},
        "position_step": POSITION_STEP,
        "splits": {split: _as_columns(crystals) for split, crystals in splits.crystals.items()},
    }
    write_compact(content, path)


def read_crystal_splits(path: str | Path) -> CrystalSplits:
    """Read a set that ``write_crystal_splits`` wrote.

    Raises
    ------
    FileFormatError
        If the file is anything else.
    """
    return read_compact(Path(path).read_bytes(), str(path), _parse, _WHAT)


@cache
def embedded_crystal_splits(name: str) -> CrystalSplits:
    """A set that comes with the package.

    Raises
    ------
    FileFormatError
        If the file is damaged.
    """
    return read_compact(*embedded_compact(name), _parse, _WHAT)


def _as_columns(crystals: Mapping[str, Structure]) -> dict[str, list[Any]]:
    cells = [rounded_cell(structure) for structure in crystals.values()]
    return {
        "id": list(crystals),
        "species": [" ".join(site.specie.symbol for site in structure) for structure in crystals.values()],
        **{column: [cell[column] for cell in cells] for column in ("lattice", "positions")},
    }


def _parse(shipped: dict[str, Any]) -> CrystalSplits:
    step = shipped["position_step"]
    return CrystalSplits(
        name=shipped["name"],
        crystals={
            split: {
                entry: cell_of({"lattice": lattice, "positions": positions}, species.split(), step)
                for entry, species, lattice, positions in zip(
                    columns["id"], columns["species"], columns["lattice"], columns["positions"], strict=True
                )
            }
            for split, columns in shipped["splits"].items()
        },
        labelled=shipped["labelled"],
        targets={
            name: CrystalTarget(target["unit"], tuple(target["values"]), target["provenance"])
            for name, target in shipped["targets"].items()
        },
        cautions=tuple(shipped["cautions"]),
    )
