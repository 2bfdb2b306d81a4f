"""Energies of finished Quantum ESPRESSO runs, from the output of pw.x."""

from __future__ import annotations

import io
import re

import numpy as np
from ase.io.espresso import read_espresso_out
from pymatgen.core import Lattice, Structure

from qperov.crystals.files.vasp_run import VaspRun
from qperov.errors import FileFormatError, UnfinishedRunError


def parse_pw_output(content: bytes, path: str) -> VaspRun:
    """Read the last energy and structure of a pw.x output after checking that the run finished and converged.

    The energy is the last line ``!    total energy``: F = E − TS of the electrons where occupations are smeared, as
    VASP's TOTEN. After a relaxation of the cell it is that of the final self-consistent calculation, with the plane
    waves of the new cell.

    Raises
    ------
    UnfinishedRunError
        If the run was cut off, or an electronic loop or the relaxation did not converge.
    FileFormatError
        If this is no such output.
    """
    text = content.decode("utf-8", errors="replace")
    if "Program PWSCF" not in text:
        raise FileFormatError(path, "not an output of pw.x (no line 'Program PWSCF')")
    if "JOB DONE." not in text:
        raise UnfinishedRunError(path, "the run was cut off (no 'JOB DONE' at the end); run it to its end")
    loops = re.findall(r"convergence (has been|NOT) achieved", text)
    if not loops:
        raise UnfinishedRunError(path, "no self-consistent calculation was finished; run it to its end")
    if loops[-1] == "NOT":
        raise UnfinishedRunError(path, "the last electronic loop did not converge; raise electron_maxstep, or mix less")
    relaxed = re.search(r"BFGS Geometry Optimization", text) is not None
    if relaxed and re.search(r"bfgs converged in", text, re.IGNORECASE) is None:
        raise UnfinishedRunError(path, "the relaxation stopped before 'bfgs converged'; continue it with more steps")
    try:
        atoms = list(read_espresso_out(io.StringIO(text), index=slice(-1, None)))[-1]
        energy = float(atoms.calc.results["energy"])
        structure = Structure(
            Lattice(atoms.cell[:]), atoms.get_chemical_symbols(), atoms.positions, coords_are_cartesian=True
        )
    except Exception as error:  # a parser of a third party, on what a user has
        raise FileFormatError(path, f"the output cannot be read ({type(error).__name__}: {error})") from error
    if not np.isfinite(energy):
        raise FileFormatError(path, "the last total energy is not a number")
    elements = tuple(atoms.get_chemical_symbols())
    return VaspRun(energy, "pw.x output, last total energy", elements, atoms.positions, structure, not relaxed)
