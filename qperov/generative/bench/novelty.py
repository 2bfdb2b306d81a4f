"""Which generated crystals are the same as each other, and which are known.

Two crystals are the same where pymatgen's StructureMatcher maps one on the other with lengths within 20 %, angles
within 5° and sites within 0.3 (V/N)^⅓, volumes scaled alike. Only crystals of one formula are ever compared. Charges
written on sites are not looked at.

References
----------
S. P. Ong et al., Comput. Mater. Sci. 68, 314 (2013), doi:10.1016/j.commatsci.2012.10.028: pymatgen.

C. Zeni et al., Nature 639, 624 (2025), doi:10.1038/s41586-025-08628-5: unique and novel crystals.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from pymatgen.core import Structure
from pymatgen.core.structure_matcher import ElementComparator, StructureMatcher

from qperov.generative.bench.verdict import crash

LENGTH_TOLERANCE, SITE_TOLERANCE, ANGLE_TOLERANCE = 0.2, 0.3, 5.0


@dataclass(frozen=True)
class Novelty:
    """A generated crystal among the others, and among those known.

    Attributes
    ----------
    group : int
        Crystals of one group are the same; the least index in it. −1 where the crystal could not be compared.
    known_as : int
        Index of the first reference that is the same; −1 if none is.
    known_formula : bool
        A reference has this reduced formula.
    fault : str
        Why the crystal could not be compared; empty where it was.
    reference_fault : str
        Why a reference of this formula could not be compared, so that nothing is known of novelty; empty where all
        were.
    """

    group: int
    known_as: int
    known_formula: bool
    fault: str = ""
    reference_fault: str = ""


def formula_of(structure: Structure) -> str:
    """Reduced formula, without charges."""
    with warnings.catch_warnings():
        # pymatgen sorts elements by electronegativity, and warns of those that have none
        warnings.simplefilter("ignore", UserWarning)
        return str(structure.composition.element_composition.reduced_formula)


def by_formula(structures: Sequence[Structure]) -> dict[str, list[int]]:
    """Indices of structures by reduced formula."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for index, structure in enumerate(structures):
        found[formula_of(structure)].append(index)
    return dict(found)


def same_crystal(first: Structure, second: Structure) -> bool:
    """Whether the matcher maps one crystal on the other; the order of the two does not count."""
    return _same(reduced_cell(first), reduced_cell(second))


def compare_crystals(
    structures: Mapping[int, Structure],
    reference: Sequence[Structure],
    formulas: Mapping[str, Sequence[int]],
    n_jobs: int | None = None,
) -> dict[int, Novelty]:
    """Compare crystals with each other and with the reference.

    Sameness is made transitive: two crystals are in one group also where others between them connect them. So the
    groups do not depend on the order in which crystals are given.

    Parameters
    ----------
    structures : mapping of int to Structure
    reference : sequence of Structure
    formulas : mapping of str to sequence of int
        Indices of the reference by formula, from :func:`by_formula`.
    n_jobs : int, optional
        As in joblib.
    """
    groups: defaultdict[str, dict[int, Structure]] = defaultdict(dict)
    for index, structure in structures.items():
        groups[formula_of(structure)][index] = structure
    tasks = [
        delayed(_compare_formula)(own, {index: reference[index] for index in formulas.get(formula, ())})
        for formula, own in groups.items()
    ]
    found: dict[int, Novelty] = {}
    for part in Parallel(n_jobs=n_jobs)(tasks):
        found |= part
    return found


def reduced_cell(structure: Structure) -> Structure:
    """Primitive cell on Niggli's axes, without charges."""
    plain = structure.copy().remove_oxidation_states()
    return plain.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()


def _compare_formula(own: Mapping[int, Structure], known: Mapping[int, Structure]) -> dict[int, Novelty]:
    """Crystals and references of one formula."""
    cells, faults = _reduced(own)
    known_cells, known_faults = _reduced(known)
    unknown = next((f"reference {index} could not be compared: {why}" for index, why in known_faults.items()), "")
    known_as: dict[int, int] = {}
    groups: list[list[int]] = []
    for index, cell in cells.items():
        try:
            same = next((k for k, other in known_cells.items() if _same(cell, other)), -1)
            joined = [any(_same(cell, cells[member]) for member in group) for group in groups]
        except Exception as error:
            faults[index] = crash(error)
            continue
        known_as[index] = same
        merged = [member for group, joins in zip(groups, joined, strict=True) if joins for member in group]
        groups = [group for group, joins in zip(groups, joined, strict=True) if not joins] + [[*merged, index]]
    found = {index: Novelty(-1, -1, bool(known), fault, unknown) for index, fault in faults.items()}
    for group in groups:
        for index in group:
            found[index] = Novelty(min(group), known_as[index], bool(known), "", unknown)
    return found


def _reduced(structures: Mapping[int, Structure]) -> tuple[dict[int, Structure], dict[int, str]]:
    cells, faults = {}, {}
    for index, structure in structures.items():
        try:
            cells[index] = reduced_cell(structure)
        except Exception as error:
            faults[index] = crash(error)
    return cells, faults


def _same(first: Structure, second: Structure) -> bool:
    """Whether two reduced cells match.

    The matcher's answer depends, rarely, on which of them comes first: ranking them makes it definite.
    """
    if len(first) != len(second):
        return False
    matcher = StructureMatcher(LENGTH_TOLERANCE, SITE_TOLERANCE, ANGLE_TOLERANCE, comparator=ElementComparator())
    low, high = sorted((first, second), key=_rank)
    return bool(matcher.fit(low, high, skip_structure_reduction=True))


def _rank(cell: Structure) -> tuple[float, ...]:
    """What a cell is ordered by, whatever its place in a list."""
    return (
        len(cell),
        cell.volume,
        *cell.lattice.abc,
        *cell.lattice.angles,
        float(np.sort(cell.frac_coords.ravel())[0]),
    )
