"""Energies of finished VASP runs, from OUTCAR or vasprun.xml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

import numpy as np
from pymatgen.core import Lattice, Structure

from qperov.crystals.files.poscar import element_named
from qperov.errors import AtomCountError, FileFormatError, UnfinishedRunError, UnknownElementError

EnergyKind = Literal["toten", "sigma0"]

_RELAXATIONS = (1, 2, 3)  # IBRION: quasi-Newton, conjugate gradients, damped dynamics
_SAME_PLACE = 0.5  # Å; a last line search or a step of dynamics moves atoms less, another crystal's CONTCAR more

_TOTEN = b"free  energy   TOTEN  ="
_CONVERGED = b"aborting loop because EDIFF is reached"
_FINISHED = b"General timing and accounting"


@dataclass(frozen=True)
class VaspRun:
    """What a finished run says about its last ionic step.

    Attributes
    ----------
    energy : float
        eV per cell.
    provenance : str
        Where in the output the energy stands.
    elements : tuple of str
        One a site, in the order of the run.
    positions : ndarray of float, shape (n, 3), or None
        Cartesian, Å.
    structure : Structure or None
        The last cell, if the output has it in full precision.
    static : bool
        True if the run moved no atoms.
    """

    energy: float
    provenance: str
    elements: tuple[str, ...]
    positions: np.ndarray | None = None
    structure: Structure | None = None
    static: bool = False


def parse_outcar(content: bytes, path: str, energy: EnergyKind = "toten") -> VaspRun:
    """Read the last energy of an OUTCAR after checking that the run finished and converged.

    ``"toten"`` is the free energy F = E − TS of the electrons (line ``free  energy   TOTEN``), ``"sigma0"`` the
    energy extrapolated to zero smearing (``energy(sigma->0)``), both in eV per cell.

    Raises
    ------
    UnfinishedRunError
        If the run was cut off, or its last electronic loop or its relaxation did not converge.
    FileFormatError
        If this is no OUTCAR.
    AtomCountError
        If the OUTCAR contradicts itself about the number of ions.
    """
    n_ions = _tag(content, rb"NIONS\s*=\s*(\d+)")
    if n_ions is None:
        raise FileFormatError(path, "not an OUTCAR, or cut off in its header: no number of ions (NIONS)")
    last = content.rfind(_TOTEN)
    if last < 0:
        raise UnfinishedRunError(path, "no ionic step was finished (no line 'free  energy   TOTEN'); run it to its end")
    if content.find(_FINISHED, last) < 0:
        raise UnfinishedRunError(
            path, "the run was cut off (no 'General timing and accounting' at the end); run it to its end"
        )
    loop = content.rfind(b" Iteration ", 0, last)
    if content.find(_CONVERGED, max(loop, 0), last) < 0:
        raise UnfinishedRunError(
            path, "the last electronic loop did not reach EDIFF; raise NELM or change ALGO, and run it again"
        )
    nsw = _tag(content, rb"NSW\s*=\s*(-?\d+)") or 0
    ibrion = _tag(content, rb"IBRION\s*=\s*(-?\d+)")
    if nsw > 1 and ibrion in _RELAXATIONS and content.find(b"reached required accuracy", last) < 0:
        raise UnfinishedRunError(
            path, f"the relaxation stopped without 'reached required accuracy' (NSW = {nsw}); continue it from CONTCAR"
        )
    after = content[last : last + 2000].decode("latin-1")
    pattern, words = {
        "toten": (r"TOTEN\s*=\s*(\S+)\s+eV", "free energy TOTEN"),
        "sigma0": (r"energy\(sigma->0\)\s*=\s*(\S+)", "energy(sigma->0)"),
    }[energy]
    value = _energy(re.search(pattern, after), words, path)
    elements = _outcar_elements(content, n_ions, path)
    static = nsw == 0 or ibrion == -1
    return VaspRun(value, f"OUTCAR, last {words}", elements, _outcar_positions(content, n_ions, loop), static=static)


def _tag(content: bytes, pattern: bytes) -> int | None:
    found = re.search(pattern, content)
    return int(found[1]) if found else None


def _energy(found: re.Match[str] | None, words: str, path: str) -> float:
    try:
        value = float(found[1]) if found else np.nan
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise FileFormatError(path, f"the last {words} is not a number: {found[0] if found else 'missing'!r}")
    return value


def _outcar_elements(content: bytes, n_ions: int, path: str) -> tuple[str, ...]:
    names = [name.decode("latin-1") for name in re.findall(rb"VRHFIN\s*=\s*([A-Za-z]+)", content)]
    line = re.search(rb"ions per type\s*=([\s\d]*)\n", content)
    counts = [int(count) for count in line[1].split()] if line else []
    if sum(counts) != n_ions or len(names) < len(counts):
        raise AtomCountError(path, f"NIONS = {n_ions}, but {len(names)} potentials with 'ions per type' {counts}")
    return tuple(name for name, count in zip(names, counts, strict=False) for _ in range(count))


def _outcar_positions(content: bytes, n_ions: int, after: int) -> np.ndarray | None:
    """Positions of the last ionic step, if its table is there."""
    start = content.find(b"TOTAL-FORCE (eV/Angst)", max(after, 0))
    if start < 0:
        return None
    rows = content[start : start + 200 * (n_ions + 3)].splitlines()[2 : 2 + n_ions]
    try:
        return np.array([[float(number) for number in row.split()[:3]] for row in rows]).reshape(n_ions, 3)
    except ValueError:
        return None  # VASP prints asterisks or glued numbers where columns overflow


def check_belongs(structure: Structure, run: VaspRun, path: str) -> None:
    """Make sure that a CONTCAR and an output describe the same crystal, site by site.

    Raises
    ------
    AtomCountError
        If the number of atoms or the elements differ.
    FileFormatError
        If an atom stands elsewhere.
    """
    if len(structure) != len(run.elements):
        reason = f"{len(structure)} atoms here, but NIONS = {len(run.elements)} in the run's output"
        raise AtomCountError(path, reason)
    here = tuple(site.specie.symbol for site in structure)
    if here != run.elements:
        i = next(i for i, (mine, theirs) in enumerate(zip(here, run.elements, strict=True)) if mine != theirs)
        raise AtomCountError(path, f"atom {i + 1} is {here[i]} here, but {run.elements[i]} in the run's output")
    if run.positions is None:
        return
    shift = structure.frac_coords - structure.lattice.get_fractional_coords(run.positions)
    shift -= np.round(shift)
    moved = np.linalg.norm(shift @ structure.lattice.matrix, axis=1)
    if moved.max() > _SAME_PLACE:
        i = int(moved.argmax())
        raise FileFormatError(
            path, f"atom {i + 1} is {moved[i]:.2f} Å away from where the run's output has it: the files do not match"
        )


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses entity declarations, with which a small file can expand to gigabytes."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which VASP never writes and which is not read for safety")


def parse_vasprun(content: bytes, path: str, energy: EnergyKind = "toten") -> VaspRun:
    """Read the last structure and energy of a vasprun.xml; see ``parse_outcar``.

    The last ``e_0_energy`` of a calculation is unreliable in some VASP versions, so the energy for zero smearing is
    e_fr_energy plus the difference e_0_energy − e_fr_energy of the last electronic step.

    Raises
    ------
    UnfinishedRunError
        If the file is cut off, or an electronic loop or the relaxation used up its steps.
    FileFormatError
        If it is not a vasprun.xml, or declares a document type.
    """
    parser = ElementTree.XMLParser(target=_NoDoctype())
    try:
        root = ElementTree.fromstring(content, parser)
    except ValueError as error:
        raise FileFormatError(path, str(error)) from error
    except ElementTree.ParseError as error:
        if b"<modeling" in content[:1000]:
            reason = f"cut off or damaged ({error}); run the calculation to its end"
            raise UnfinishedRunError(path, reason) from error
        raise FileFormatError(path, f"not a vasprun.xml ({error})") from error
    steps = root.findall("calculation")
    if root.tag != "modeling" or not steps:
        raise FileFormatError(path, "not a vasprun.xml, or without any ionic step")
    parameters = {item.get("name"): (item.text or "").strip() for item in root.iter("i")}
    nsw, ibrion, nelm = (_integer(parameters.get(name)) for name in ("NSW", "IBRION", "NELM"))
    if nelm is not None and len(steps[-1].findall("scstep")) >= nelm:
        raise UnfinishedRunError(path, f"the last electronic loop used all NELM = {nelm} steps; raise NELM")
    if nsw is not None and nsw > 1 and ibrion in _RELAXATIONS and len(steps) >= nsw:
        raise UnfinishedRunError(
            path, f"the relaxation used all NSW = {nsw} steps; continue it from the last structure"
        )
    structure = _vasprun_structure(root, path)
    value, words = _vasprun_energy(steps[-1], energy, path)
    elements = tuple(site.specie.symbol for site in structure)
    return VaspRun(value, f"vasprun.xml, {words}", elements, structure.cart_coords, structure, nsw == 0 or ibrion == -1)


def _integer(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _vasprun_energy(step: ElementTree.Element, energy: EnergyKind, path: str) -> tuple[float, str]:
    def value(place: str, name: str) -> float:
        found = step.find(f"{place}/i[@name='{name}']")
        try:
            number = float(found.text or "") if found is not None else np.nan
        except ValueError:
            number = np.nan
        if not np.isfinite(number):
            raise FileFormatError(path, f"the last {name} is missing or not a number")
        return number

    free = value("energy", "e_fr_energy")
    if energy == "toten":
        return free, "last free energy (e_fr_energy)"
    last = "scstep[last()]/energy"
    correction = value(last, "e_0_energy") - value(last, "e_fr_energy")
    return round(free + correction, 8), "last energy(sigma->0) (e_0_energy)"


def _vasprun_structure(root: ElementTree.Element, path: str) -> Structure:
    final = root.find("structure[@name='finalpos']/crystal/..")
    if final is None:
        raise UnfinishedRunError(path, "no final structure: the run was cut off; run it to its end")
    try:
        matrix, positions = (
            np.array([[float(number) for number in (row.text or "").split()] for row in final.findall(place)])
            for place in ("crystal/varray[@name='basis']/v", "varray[@name='positions']/v")
        )
    except ValueError as error:
        raise FileFormatError(path, f"the final structure is not made of numbers ({error})") from error
    names = [(row.findtext("c") or "").strip() for row in root.findall("atominfo/array[@name='atoms']/set/rc")]
    if matrix.shape != (3, 3) or positions.shape != (len(names), 3):
        raise AtomCountError(path, f"{len(names)} atoms, but positions of shape {positions.shape}")
    elements = []
    for name in names:
        element = element_named(name)
        if element is None:
            raise UnknownElementError(path, f"{name!r} is not an element")
        elements.append(element)
    return Structure(Lattice(matrix), elements, positions, validate_proximity=False)
