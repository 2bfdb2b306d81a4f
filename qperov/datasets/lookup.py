"""Datasets by their names: those that come with the package, and those of a store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
from pymatgen.core import Lattice, Structure

from qperov.crystals.operations import site_permutations
from qperov.crystals.orderings.cluster_expansion import ClusterExpansion, spins_of
from qperov.crystals.orderings.enumeration import orderings
from qperov.datasets.dataset import CrystalDataset, Dataset
from qperov.datasets.embedded.abx3 import embedded_perovskite_set
from qperov.datasets.embedded.abx3_radii import radius_set
from qperov.datasets.embedded.cpx222 import embedded_relaxed_set
from qperov.datasets.embedded.perov5 import embedded_crystal_splits
from qperov.datasets.embedded.scans import embedded_pattern_set
from qperov.datasets.pattern_dataset import PatternDataset
from qperov.datasets.store import Store
from qperov.errors import DatasetNameError

#: Embedded datasets and what they are.
EMBEDDED = {
    "cpx321": "986 CsPb(Br2I) orderings of the 3×2×1 cell that none of its symmetries relates, by a cluster expansion",
    "cpx222": "441 relaxed CsPb(Br,I)3 orderings of the 2×2×2 cell over all compositions, CHGNet's energies of mixing",
    "abx3": "1605 charge-balanced ABX3 compositions in five-atom cells relaxed by CHGNet, with its formation energies",
    "abx3_radii": "1605 charge-balanced ABX3 compositions as cubic cells from ionic radii, with tolerance factors",
    "heo106": "106 measured patterns of rare-earth oxides: lattice_parameter, crystallite_size, structure",
    "fegapd": "278 measured patterns of an Fe-Ga-Pd composition spread: magnetisation, region",
    "films": "53 measured patterns of halide perovskite films: space_group",
    "perov5": "3787 labelled ABX3 cells of Perov-5, relaxed by DFT: heat_all, heat_ref, dir_gap, ind_gap",
}
#: Those of measured patterns, which have several targets.
MEASURED = ("heo106", "fegapd", "films")
#: Those that are distributed in splits, of which one has labels.
IN_SPLITS = ("perov5",)
#: The one that the enumeration and a cluster expansion give.
ORDERING_TASKS = ("cpx321",)


AnyDataset = TypeVar("AnyDataset", bound=Dataset)


@dataclass(frozen=True, eq=False)
class OrderingTask:
    """An embedded dataset as it is shipped: a cell, what decorates it, and the expansion of its energy.

    Attributes
    ----------
    name : str
    parent : Structure
        The undecorated cell.
    sites : tuple of int
        Sites that are decorated.
    species : (str, str)
    count : int
        Atoms of the last species a cell.
    expansion : ClusterExpansion
        Energy in eV per cell.
    provenance : dict
        ``sentence`` and ``cautions`` (what every report shows), ``source``, ``n_classes``, ``out_of_fold`` and so on.
    """

    name: str
    parent: Structure
    sites: tuple[int, ...]
    species: tuple[str, str]
    count: int
    expansion: ClusterExpansion
    provenance: dict[str, Any]


@cache
def ordering_task(name: str) -> OrderingTask:
    """The shipped description of an embedded dataset.

    Raises
    ------
    DatasetNameError
        If there is no embedded dataset of that name.
    """
    if name not in ORDERING_TASKS:
        raise _unknown_name(name, ORDERING_TASKS)
    text = resources.files("qperov.datasets.embedded").joinpath("data", f"{name}.json").read_text(encoding="utf-8")
    shipped = json.loads(text)
    parent, clusters = shipped["parent"], shipped["clusters"]
    return OrderingTask(
        name=name,
        parent=Structure(Lattice(parent["lattice"]), parent["species"], parent["frac_coords"]),
        sites=tuple(shipped["sites"]),
        species=(shipped["species"][0], shipped["species"][1]),
        count=shipped["count"],
        expansion=ClusterExpansion(
            constant=shipped["constant"],
            representatives=tuple(tuple(cluster["sites"]) for cluster in clusters),
            coefficients=tuple(cluster["coefficient"] for cluster in clusters),
        ),
        provenance=shipped["provenance"],
    )


@overload
def load_dataset(  # type: ignore[overload-overlap]
    name: Literal["heo106", "fegapd", "films"], *, target: str | None = None
) -> PatternDataset: ...


@overload
def load_dataset(name: str, *, target: str | None = None, split: str | None = None) -> CrystalDataset: ...


def load_dataset(name: str, *, target: str | None = None, split: str | None = None) -> CrystalDataset | PatternDataset:
    """A dataset that comes with qperov.

    Parameters
    ----------
    name : str
        ``"cpx321"``: the 986 orderings of 12 Br and 6 I on the X sites of cubic CsPbX₃ that no symmetry of
        the 3×2×1 cell (30 atoms) relates; 11 pairs are one crystal turned. Target: energy in meV/atom. The
        labels are not DFT results: they are PBE energies through a cluster expansion, and ``provenance`` says
        so for each of them; their noise is its root mean square error out of fold.
        ``"cpx222"``: 441 orderings of Br and I over all compositions in the 2×2×2 cell (40 atoms), positions and cells
        relaxed by CHGNet from one tilt. Target: energy of mixing in meV per formula unit, by CHGNet, not DFT.
        ``"abx3"``: 1605 charge-balanced ABX₃ compositions whose radii allow a perovskite, in cells of five atoms (A, B,
        X, X, X) relaxed by CHGNet from rattled cubic ones. Target: formation energy in eV/atom, by CHGNet, not DFT.
        ``"abx3_radii"``: the same compositions as the cubic cells from radii. Target: Goldschmidt's tolerance factor.
        ``"perov5"``: ABX₃ cells relaxed by DFT, in the splits of the benchmark of generators. Of each composition all
        crystals are one group.
        ``"heo106"``, ``"fegapd"``, ``"films"``: measured powder patterns; their ``sources`` say whose.
    target : str, optional
        Of a dataset with several: ``"lattice_parameter"`` (Å, as a fluorite cell), ``"crystallite_size"`` (nm) or
        ``"structure"`` of heo106; ``"magnetisation"`` (V, of a SQUID) or ``"region"`` of fegapd; ``"heat_all"``,
        ``"heat_ref"`` (eV a cell), ``"dir_gap"`` or ``"ind_gap"`` (eV) of perov5. By default the first.
    split : str, optional
        ``"train"``, ``"val"`` or ``"test"`` of perov5: by default val, which alone has labels.

    Returns
    -------
    CrystalDataset or PatternDataset

    Raises
    ------
    DatasetNameError
        If there is no embedded dataset of that name, or it has no such target or split.

    Examples
    --------
    >>> import qperov
    >>> qperov.load_dataset("films")
    PatternDataset('films', 53 patterns, target='space_group' [None])
    """
    if name not in EMBEDDED:
        raise _unknown_name(name, tuple(EMBEDDED))
    if name in IN_SPLITS:
        return embedded_crystal_splits(name).dataset(target, split)
    if split is not None:
        raise DatasetNameError(f"{name} is in one piece, and has no split {split!r}")
    if name in MEASURED:
        return embedded_pattern_set(name).dataset(target)
    return _of_target(_crystals(name), target)


def _crystals(name: str) -> CrystalDataset:
    if name == "abx3":
        return embedded_perovskite_set(name).dataset()
    if name == "abx3_radii":
        return radius_set()
    if name not in ORDERING_TASKS:
        return embedded_relaxed_set(name).dataset()
    task = ordering_task(name)
    found = orderings(task.parent, task.sites, task.species, task.count)
    column = {site: i for i, site in enumerate(task.sites)}
    occupations = np.zeros((len(found), len(task.sites)), dtype=np.int64)
    for row, ordering in enumerate(found):
        occupations[row, [column[site] for site in ordering.occupied]] = 1
    permutations = site_permutations(task.parent, task.sites)
    energies = task.expansion.energies(spins_of(occupations), permutations)
    return CrystalDataset(
        name=name,
        structures=tuple(ordering.structure for ordering in found),
        ids=tuple(f"{name}-{i:04d}" for i in range(len(found))),
        y=1000 * energies / len(task.parent),
        target="energy",
        unit="meV/atom",
        provenance=(task.provenance["sentence"],) * len(found),
        cautions=tuple(task.provenance["cautions"]),
        known_noise=task.provenance["out_of_fold"]["rmse_mev_per_atom"],
        known_groups=np.arange(len(found)),
    )


def find_dataset(name: str, store: str | Path, target: str | None = None) -> CrystalDataset | PatternDataset:
    """The embedded dataset of that name, or else the one in the store, which need not be there.

    Raises
    ------
    DatasetNameError
        If there is none, or it has no such target; the message names the nearest.
    """
    if name in EMBEDDED:
        return load_dataset(name, target=target)
    names: list[str] = []
    if Path(store).exists():
        with Store(store) as opened:
            names = opened.names()
            if name in names:
                return _of_target(opened.load(name), target)
    raise _unknown_name(name, [*EMBEDDED, *names], f", nor one in {store}")


def _of_target(dataset: AnyDataset, target: str | None) -> AnyDataset:
    """A dataset of one target, if that is the one asked for."""
    if target not in (None, dataset.target):
        raise DatasetNameError(f"{dataset.name} has no target {target!r}; it has {dataset.target}")
    return dataset


def _unknown_name(name: str, known: Sequence[str], where: str = "") -> DatasetNameError:
    """What is said of a name that no dataset has."""
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return DatasetNameError(
        f"no embedded dataset {name!r}{where}{hint} There are: {', '.join(known)}. Files are read by their paths"
    )
