"""Every criterion asked of generated crystals, and what each one says noted on the sheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Lattice, Structure

from qperov.errors import RelaxationError
from qperov.evaluation.progress import Progress
from qperov.generative.bench.charge_balance import charge_verdict
from qperov.generative.bench.coordination import corner_sharing_verdict, octahedra_verdict
from qperov.generative.bench.criteria import STABLE, Sheet
from qperov.generative.bench.dissimilarity import THRESHOLD, fingerprints, nearest
from qperov.generative.bench.novelty import compare_crystals, formula_of, same_crystal
from qperov.generative.bench.reference import ReferenceCrystals
from qperov.generative.bench.validity import (
    GREATEST_ELONGATION,
    closest_contacts,
    covalent_verdict,
    distance_verdict,
    elongation,
    volume_verdict,
)
from qperov.generative.bench.verdict import Verdict, crash, judge

Relax = Callable[[Structure], Structure | None]
Hull = Callable[[Structure], float]


def judge_alone(sheet: Sheet, index: int, structure: Structure) -> None:
    """What a crystal shows without others: volume, distances, charges."""
    volume = judge(volume_verdict, structure)
    sheet.note(index, "volume", volume, "atom_volume")
    if len(structure):
        sheet.label(index, "formula", formula_of(structure), "")
    sheet.note(index, "charge_neutral", judge(lambda crystal: charge_verdict(crystal.composition), structure))
    sheet.note(index, "common_charges", judge(lambda crystal: charge_verdict(crystal.composition, "common"), structure))
    try:
        # a cell without volume has no distances to search for
        contacts = closest_contacts(structure) if volume.passed else volume.reason
    except Exception as error:
        contacts = crash(error)
    if isinstance(contacts, str):
        distance = covalent = Verdict(False, f"not measured: {contacts}")
    else:
        distance, covalent = distance_verdict(contacts), covalent_verdict(contacts)
    sheet.note(index, "distance", distance, "least_distance")
    sheet.note(index, "covalent_distance", covalent, "covalent_share")


def is_comparable(sheet: Sheet, index: int, structure: Structure) -> bool:
    """Whether comparing a cell makes sense, and comes to an end."""
    if not (sheet.holds(index, "volume") and sheet.holds(index, "distance")):
        return False
    stretched = elongation(structure)
    if stretched > GREATEST_ELONGATION:
        reason = f"not compared: a cell {stretched:.0f} times longer than the cube root of its volume"
        sheet.note(index, "unique", Verdict(False, reason))
        return False
    return True


def judge_novelty(
    sheet: Sheet, crystals: Mapping[int, Structure], reference: ReferenceCrystals, n_jobs: int | None
) -> None:
    compared = compare_crystals(crystals, reference.structures, reference.formulas, n_jobs)
    for index, own in compared.items():
        known = own.fault or own.reference_fault or (f"the same as reference {own.known_as}" * (own.known_as >= 0))
        novel = not known
        sheet.note(index, "novel", Verdict(novel, known))
        sheet.note(index, "novel_formula", Verdict(novel and not own.known_formula))
        sheet.note(index, "novel_structure", Verdict(novel and own.known_formula))
        sheet.label(index, "known_as", own.known_as, -1)
        sheet.label(index, "group", own.group, -1)
    members: dict[int, list[int]] = {}
    for index, own in compared.items():
        if own.group >= 0:
            members.setdefault(own.group, []).append(index)
        else:
            sheet.note(index, "unique", Verdict(False, own.fault))
    for group in members.values():
        # the best of the group stands for it, so that the counts do not depend on the order
        chosen = min(group, key=lambda i: (not sheet.holds(i, "valid"), not sheet.holds(i, "novel"), i))
        for index in group:
            verdict = Verdict(index == chosen, "" if index == chosen else f"the same as generated {chosen}")
            sheet.note(index, "unique", verdict)
    sheet.all_of("valid_unique_novel", ("valid", "unique", "novel"))


def judge_coordination(sheet: Sheet, crystals: Mapping[int, Structure]) -> None:
    """Octahedra, and how they are joined."""
    for index, structure in crystals.items():
        sheet.note(index, "octahedra", judge(octahedra_verdict, structure))
        sheet.note(index, "corner_sharing", judge(corner_sharing_verdict, structure))


def judge_dissimilarity(
    sheet: Sheet,
    crystals: Mapping[int, Structure],
    known: np.ndarray,
    n_jobs: int | None,
    progress: Progress | None,
) -> None:
    """Distance of each fingerprint to the nearest of those known (shape (n, 4, m))."""
    found = fingerprints(list(crystals.values()), n_jobs, progress)
    for index, own in zip(crystals, found, strict=True):
        if isinstance(own, str):
            sheet.note(index, "dissimilar", Verdict(False, own))
            continue
        value = nearest(own, known)
        sheet.note(index, "dissimilar", Verdict(value >= THRESHOLD, value=value), "dissimilarity")


def judge_relaxation(
    sheet: Sheet, crystals: Mapping[int, Structure], relax: Relax, progress: Progress | None
) -> dict[int, Structure]:
    """Relax what can be relaxed; the relaxed crystals."""
    final: dict[int, Structure] = {}
    for done, (index, structure) in enumerate(crystals.items(), start=1):
        try:
            relaxed = relax(structure.copy())
            if relaxed is None:
                sheet.note(index, "relaxed", Verdict(False, "the relaxation failed"))
            else:
                sheet.note(index, "relaxed", Verdict(True))
                final[index] = relaxed
                change = displacement(structure, relaxed)
                sheet.measure(index, "rmsd", change.rmsd)
                sheet.measure(index, "volume_change", change.volume_change)
                same = same_crystal(structure, relaxed)
                sheet.note(index, "kept", Verdict(same, "" if same else "another crystal after relaxation"))
        except Exception as error:
            sheet.note(index, "kept" if index in final else "relaxed", Verdict(False, crash(error)))
        if progress is not None:
            progress(done, len(crystals), "relaxation")
    return final


def judge_stability(sheet: Sheet, crystals: Mapping[int, Structure], hull: Hull, progress: Progress | None) -> None:
    for done, (index, structure) in enumerate(crystals.items(), start=1):
        sheet.note(index, "stable", judge(lambda crystal: _stability(hull(crystal)), structure), "above_hull")
        if progress is not None:
            progress(done, len(crystals), "energy above hull")
    sheet.all_of("stable_unique_novel", ("stable", "unique", "novel"))


def _stability(above: float) -> Verdict:
    if not np.isfinite(above):
        return Verdict(False, "no energy above hull")
    reason = "" if above <= STABLE else f"{above:.3f} eV/atom above the hull"
    return Verdict(not reason, reason, float(above))


@dataclass(frozen=True)
class Displacement:
    """What a relaxation changed.

    Attributes
    ----------
    rmsd : float
        Root mean square displacement of the atoms, Å; strain of the cell and a drift of all atoms taken out.
    volume_change : float
        V_relaxed / V_generated − 1.
    """

    rmsd: float
    volume_change: float


def displacement(before: Structure, after: Structure) -> Displacement:
    r"""How far atoms moved: :math:`\min_t \sqrt{\langle |\bar L (\Delta x_i - t)|^2 \rangle}`.

    Fractional displacements Δx, to the nearest image, are measured in the cell of mean lengths and angles. Both
    crystals must list the same sites in the same order, on corresponding axes, as relaxations leave them.

    Raises
    ------
    RelaxationError
        If the sites are not the same.
    """
    if len(before) != len(after) or any(
        a.species.element_composition != b.species.element_composition for a, b in zip(before, after, strict=True)
    ):
        raise RelaxationError("the relaxed crystal lists other sites than the generated one")
    mean = Lattice.from_parameters(*((np.array(before.lattice.parameters) + after.lattice.parameters) / 2))
    step = after.frac_coords - before.frac_coords
    # the drift is about the displacement of some atom: with it taken out, nearest images are the right ones
    squared = min(_mean_square(step - anchor, mean) for anchor in step)
    return Displacement(float(np.sqrt(squared)), float(after.volume / before.volume - 1))


def _mean_square(step: np.ndarray, lattice: Lattice) -> float:
    nearest = step - np.round(step)
    cartesian = (nearest - nearest.mean(axis=0)) @ lattice.matrix
    return float((cartesian**2).sum(axis=1).mean())
