"""Writes generated crystals for other programs: CIF, POSCAR, and the inputs of DFT calculations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from qperov.crystals.dft.inputs import WrittenInputs, write_calculations
from qperov.crystals.dft.presets import DftPreset
from qperov.errors import CalculationInputError
from qperov.generative.bench.validation import ValidationReport
from qperov.storage.atomic import write_text
from qperov.storage.plain_values import plain_cells

#: Folders for each kind of file.
CIF, POSCAR, DFT = "cif", "poscar", "dft"
#: Table of the verdicts.
VERDICTS = "verdicts.csv"


@dataclass(frozen=True)
class WrittenCrystals:
    """What was written.

    Attributes
    ----------
    folder : Path
    ids : dict of int to str
        Index in the sample → name of the crystal's files.
    inputs : WrittenInputs or None
        The DFT calculations.
    """

    folder: Path
    ids: dict[int, str]
    inputs: WrittenInputs | None


def write_generated(
    generated: Sequence[Structure | None],
    folder: str | Path,
    *,
    report: ValidationReport | None = None,
    criterion: str = "valid",
    preset: str | DftPreset | None = None,
    prefix: str = "generated",
) -> WrittenCrystals:
    """Write generated crystals as ``cif/ID.cif`` and ``poscar/ID.vasp``, with DFT inputs in ``dft/ID`` where asked.

    An id is the prefix and the place in the sample, ``generated-0007``, whatever was left out. Existing files that
    read the same stay; nothing is overwritten. ``qperov.read(folder / "dft", target="energy")`` reads results back.

    Parameters
    ----------
    generated : sequence of Structure or None
    folder : str or Path
    report : ValidationReport, optional
        On this sample: only crystals that meet ``criterion`` are written, and the verdicts on all of them in
        ``verdicts.csv``.
    criterion : str
        A criterion of the report.
    preset : str or DftPreset, optional
        Settings of the calculations, as in :func:`qperov.crystals.dft.inputs.write_calculations`.
    prefix : str

    Raises
    ------
    CalculationInputError
        If nothing is left to write, another file is there already, or a crystal has no DFT inputs. Nothing is written
        then, or the DFT inputs are not.
    ValueError
        If the report is of another sample or does not know the criterion.
    """
    chosen = _chosen(generated, report, criterion)
    if not chosen:
        raise CalculationInputError("no crystal is left to write")
    if not prefix or "/" in prefix or prefix.startswith("."):
        raise ValueError(f"a prefix is the start of a file's name, not {prefix!r}")
    ids = {index: f"{prefix}-{index:04d}" for index in chosen}
    root = Path(folder)
    planned: dict[Path, str] = {}
    for index, structure in chosen.items():
        kinds = [site.species.element_composition for site in structure]
        plain = Structure(structure.lattice, kinds, structure.frac_coords)
        planned[root / CIF / f"{ids[index]}.cif"] = str(CifWriter(plain, significant_figures=12))
        # sites of one element stand together in a POSCAR
        planned[root / POSCAR / f"{ids[index]}.vasp"] = Poscar(plain.get_sorted_structure()).get_str(
            significant_figures=16
        )
    if report is not None:
        planned[root / VERDICTS] = plain_cells(report.per_structure).to_csv(index=False)
    for path, text in planned.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise CalculationInputError(f"{path}: another file is there already; choose another folder")
    inputs = None
    if preset is not None:
        inputs = write_calculations(list(chosen.values()), list(ids.values()), root / DFT, preset)
    for path, text in planned.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)
    return WrittenCrystals(root, ids, inputs)


def _chosen(
    generated: Sequence[Structure | None], report: ValidationReport | None, criterion: str
) -> dict[int, Structure]:
    crystals = {index: structure for index, structure in enumerate(generated) if structure is not None}
    if report is None:
        return crystals
    told = report.per_structure
    if len(told) != len(generated):
        raise ValueError(f"the report is on {len(told)} crystals, not on these {len(generated)}")
    if criterion not in set(report.table["criterion"]):
        raise ValueError(f"no criterion {criterion!r} in the report; there are {', '.join(report.table['criterion'])}")
    return {index: structure for index, structure in crystals.items() if told[criterion].iloc[index]}
