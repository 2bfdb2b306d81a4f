"""The bench's report on a set of generated crystals: how many decode, are valid, unique, novel, perovskites, stable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd
from pymatgen.core import Structure

from qperov.errors import EmptyDatasetError
from qperov.evaluation.progress import Progress
from qperov.generative.bench.criteria import CRITERIA, VALID, VALUES, Sheet
from qperov.generative.bench.judgement import (
    Hull,
    Relax,
    is_comparable,
    judge_alone,
    judge_coordination,
    judge_dissimilarity,
    judge_novelty,
    judge_relaxation,
    judge_stability,
)
from qperov.generative.bench.reference import ReferenceCrystals, prepare_reference
from qperov.generative.bench.verdict import Verdict


@dataclass(frozen=True, repr=False)
class ValidationReport:
    """The bench's verdicts.

    Attributes
    ----------
    table : DataFrame
        One row a criterion: ``criterion``, ``asks``, ``count``, ``out_of``, ``share``, and Wilson's 95 % interval
        ``low``, ``high``. Every share is out of all that was generated, what did not decode included.
    per_structure : DataFrame
        One row a generated crystal: ``index``, ``formula``, a column of True or False a criterion, numbers,
        ``group`` (the first crystal that is the same), ``known_as`` (index of a reference that is the same) and
        ``reasons`` (criterion and why it failed, one a line).
    notes : tuple of str
        What to bear in mind when reading the shares.
    """

    table: pd.DataFrame
    per_structure: pd.DataFrame
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """The table, medians of the numbers, and the notes, as plain text."""
        rows = [
            f"{row.criterion:<20} {row.count_:>6} of {row.out_of:<6} {100 * row.share:5.1f} %"
            f"  [{100 * row.low:.1f}, {100 * row.high:.1f}]  {row.asks}"
            for row in self.table.rename(columns={"count": "count_"}).itertuples()
        ]
        medians = [
            f"median {name.replace('_', ' ')}: {self.per_structure[name].median():.3g} ({unit})"
            for name, unit in VALUES.items()
            if name in self.per_structure and self.per_structure[name].notna().any()
        ]
        return "\n".join([*rows, *medians, *self.notes])

    def __repr__(self) -> str:
        return f"<ValidationReport of {len(self.per_structure)} generated crystals>"

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return self.table.to_html(index=False, float_format="{:.3g}".format) + notes


def validate(
    generated: Sequence[Structure | None],
    reference: Sequence[Structure],
    *,
    relax: Relax | None = None,
    hull: Hull | None = None,
    perovskite: bool = True,
    dissimilarity: bool = True,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> ValidationReport:
    """Judge generated crystals against known ones.

    Valid crystals decode, keep 0.5 Å and 0.7 of the covalent radii between all atoms, have 0.1 Å³ an atom, and
    charges that can balance. Cells without these distances and this volume are compared with nothing: they count as
    neither unique nor novel. What makes a criterion crash has failed it, and the reason is kept; nothing stops.

    Parameters
    ----------
    generated : sequence of Structure or None
        None where the model's output held no crystal.
    reference : sequence of Structure
        The crystals a model was trained on, and any others that are known.
    relax : callable, optional
        Structure → relaxed Structure, or None if the relaxation failed; same sites in the same order.
    hull : callable, optional
        Structure → energy above hull, eV/atom. It is given the relaxed crystal where there is ``relax``.
    perovskite : bool
        Judge the coordination, too.
    dissimilarity : bool
        Compare surroundings with the reference's: by far the longest part of the work.
    n_jobs : int, optional
        As in joblib; for comparing crystals and for fingerprints. ``relax`` and ``hull`` are called in this process.
    progress : Progress, optional
        Told of each fingerprint, relaxation and energy.

    Raises
    ------
    EmptyDatasetError
        If nothing was generated, or there is no reference.

    References
    ----------
    T. Xie et al., ICLR (2022), arXiv:2110.06197; C. Zeni et al., Nature 639, 624 (2025),
    doi:10.1038/s41586-025-08628-5; J. Riebesell et al., Nat. Mach. Intell. 7, 836 (2025),
    doi:10.1038/s42256-025-01055-1.
    """
    prepared = prepare_reference(reference, dissimilarity=dissimilarity, n_jobs=n_jobs, progress=progress)
    return validate_against(
        generated, prepared, relax=relax, hull=hull, perovskite=perovskite, n_jobs=n_jobs, progress=progress
    )


def validate_against(
    generated: Sequence[Structure | None],
    reference: ReferenceCrystals,
    *,
    relax: Relax | None = None,
    hull: Hull | None = None,
    perovskite: bool = True,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> ValidationReport:
    """:func:`validate` against a prepared reference."""
    if not len(generated):
        raise EmptyDatasetError("nothing was generated, so there is nothing to judge")
    sheet = Sheet(len(generated))
    crystals = {index: structure for index, structure in enumerate(generated) if structure is not None}
    for index, structure in enumerate(generated):
        sheet.note(index, "decodable", Verdict(structure is not None, "" if structure is not None else "no crystal"))
    for index, structure in crystals.items():
        judge_alone(sheet, index, structure)
    sheet.all_of("valid", VALID)
    comparable = {index: crystal for index, crystal in crystals.items() if is_comparable(sheet, index, crystal)}
    judge_novelty(sheet, comparable, reference, n_jobs)
    if perovskite:
        judge_coordination(sheet, comparable)
    if reference.fingerprints is not None:
        judge_dissimilarity(sheet, comparable, reference.fingerprints, n_jobs, progress)
    final = comparable if relax is None else judge_relaxation(sheet, comparable, relax, progress)
    if hull is not None:
        judge_stability(sheet, final, hull, progress)
    criteria = [
        name
        for name in CRITERIA
        if (perovskite or name not in ("octahedra", "corner_sharing"))
        and (reference.fingerprints is not None or name != "dissimilar")
        and (relax is not None or name not in ("relaxed", "kept"))
        and (hull is not None or name not in ("stable", "stable_unique_novel"))
    ]
    notes = _notes(reference, hull is not None and relax is None)
    return ValidationReport(sheet.table(criteria), sheet.per_structure(criteria), notes)


def _notes(reference: ReferenceCrystals, unrelaxed: bool) -> tuple[str, ...]:
    notes = []
    if reference.without:
        total = len(reference.structures)
        notes.append(f"{reference.without} of {total} references have no fingerprint; dissimilarity leaves them out.")
    if unrelaxed:
        notes.append("Energies above hull are of the crystals as generated, not relaxed.")
    return tuple(notes)
