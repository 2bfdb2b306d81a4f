"""Relaxation: the steps of ASE, tilts of the space groups they must have, and failures with a name."""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.optimize
import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from hypothesis import given, settings
from hypothesis import strategies as st
from perovskites import halide_sites, perovskite, random_decoration
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.groups import sg_symbol_from_int_number

from qperov.crystals.operations import symmetry_operations
from qperov.errors import DivergedError, MissingDependencyError, RelaxationError, TiltError
from qperov.potentials.calculators import Potential, open_potential
from qperov.potentials.protocols import OPTIMISERS, PROTOCOLS, Protocol, named_protocol
from qperov.potentials.relaxation import relax, relax_together
from qperov.potentials.tilts import tilt_octahedra, tilt_signs


def copper_gold(seed: int = 0, strain: float = 1.03) -> Structure:
    """An fcc cell of Cu₃Au, stretched, its atoms displaced."""
    rng = np.random.default_rng(seed)
    sites = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites = sites + rng.normal(scale=0.02, size=(4, 3))
    return Structure(Lattice.orthorhombic(3.75 * strain, 3.75, 3.75 / strain), ["Au", "Cu", "Cu", "Cu"], sites)


def emt_batch(crystals: Any) -> list[dict[str, Any]]:
    found = []
    for crystal in crystals:
        atoms = crystal.copy()
        atoms.calc = EMT()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        found.append({"energy": energy, "free_energy": energy, "forces": forces, "stress": stress})
    return found


def space_group(structure: Structure, symprec: float = 1e-3) -> str:
    numbers = [site.specie.Z for site in structure]
    cell: Any = (structure.lattice.matrix, structure.frac_coords, numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib tells how it will report errors one day
        found = spglib.get_symmetry_dataset(cell, symprec=symprec)
    assert found is not None
    return sg_symbol_from_int_number(found.number)


# --- parity -------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("cell", ["free", "isotropic", "fixed"])
def test_relaxation_takes_the_very_steps_of_ase(optimiser: str, cell: Any) -> None:
    given = copper_gold()
    atoms = Atoms(
        [site.specie.Z for site in given], given.cart_coords, cell=given.lattice.matrix, pbc=True, calculator=EMT()
    )
    target: Any = atoms
    if cell != "fixed":
        target = FrechetCellFilter(atoms, hydrostatic_strain=cell == "isotropic")
    run = getattr(ase.optimize, optimiser)(target, logfile=None)
    converged = run.run(fmax=0.05, steps=30)
    found = relax(given, Protocol(cell=cell, optimiser=optimiser, fmax=0.05, steps=30), EMT())
    assert (found.steps, found.converged) == (run.nsteps, converged)
    assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
    np.testing.assert_allclose(found.structure.lattice.matrix, atoms.cell[:], atol=1e-12)
    np.testing.assert_allclose(found.structure.cart_coords, atoms.positions, atol=1e-10)
    assert found.greatest_force == pytest.approx(np.linalg.norm(atoms.get_forces(), axis=1).max(), abs=1e-10)


@pytest.mark.slow
def test_side_by_side_is_one_by_one() -> None:
    crystals = [copper_gold(seed) for seed in range(3)]
    protocol = Protocol(fmax=0.1, steps=40)
    sizes = []

    def batch(due: Any) -> list[dict[str, Any]]:
        sizes.append(len(due))
        return emt_batch(due)

    together = relax_together(crystals, protocol, Potential("EMT", "", EMT(), batch=batch))
    for crystal, found in zip(crystals, together, strict=True):
        alone = relax(crystal, protocol, EMT())
        assert not isinstance(found, RelaxationError)
        assert (found.steps, found.converged) == (alone.steps, alone.converged)
        assert found.energy == pytest.approx(alone.energy, abs=1e-12)
    assert sizes[0] == 3
    assert sum(sizes) == sum(found.steps + 1 for found in together if not isinstance(found, RelaxationError))


def test_one_bad_crystal_does_not_spoil_its_batch() -> None:
    def batch(due: Any) -> list[dict[str, Any]]:
        if any("Fe" in atoms.symbols for atoms in due):
            raise ValueError("no parameters for Fe")
        return emt_batch(due)

    iron = Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    good, bad = relax_together([copper_gold(), iron], Protocol(), Potential("EMT", "", EMT(), batch=batch))
    assert not isinstance(good, RelaxationError)
    assert good.converged
    assert isinstance(bad, RelaxationError)
    assert str(bad) == "Fe2: ValueError: no parameters for Fe"


# --- starts -------------------------------------------------------------------------------------


# C. J. Howard, H. T. Stokes, Acta Cryst. B 54, 782 (1998), table 1
@pytest.mark.parametrize(
    ("pattern", "symbol"),
    [("a0a0c+", "P4/mbm"), ("a0a0c-", "I4/mcm"), ("a-b+a-", "Pnma"), ("a⁻a⁻a⁻", "R-3c"), ("a+a+a+", "Im-3")],
)
def test_tilts_have_the_space_groups_of_group_theory(pattern: str, symbol: str) -> None:
    start = tilt_octahedra(perovskite((2, 2, 2)), pattern, 8.0)
    assert space_group(start) == symbol


@settings(max_examples=25, deadline=None)
@given(
    signs=st.tuples(*[st.sampled_from("-0+")] * 3),
    count=st.integers(0, 24),
    angle=st.floats(1, 20),
    seed=st.integers(0, 99),
)
def test_tilts_keep_corners_shared_whatever_decorates_them(
    signs: tuple[str, ...], count: int, angle: float, seed: int
) -> None:
    parent = perovskite((2, 2, 2))
    pattern = "".join(letter + sign for letter, sign in zip("abc", signs, strict=True))
    given_cell = random_decoration(parent, count, np.random.default_rng(seed))
    start = tilt_octahedra(given_cell, pattern, angle, ("Pb",))
    anions, lead = halide_sites(parent), np.flatnonzero([s.species_string == "Pb" for s in parent])
    np.testing.assert_array_equal(
        np.delete(start.frac_coords, anions, axis=0), np.delete(parent.frac_coords, anions, axis=0)
    )
    assert [s.species_string for s in start] == [s.species_string for s in given_cell]
    bonds = np.sort(start.distance_matrix[np.ix_(anions, lead)], axis=1)[:, :2]
    np.testing.assert_allclose(bonds[:, 0], bonds[:, 1], atol=1e-9, err_msg="an anion leaves the middle of its bonds")
    tilts = np.array([sign != "0" for sign in signs])
    across = np.sort([np.sqrt(1 + (tilts.sum() - tilts[axis]) * np.tan(np.radians(angle)) ** 2) for axis in range(3)])
    np.testing.assert_allclose(np.sort(bonds[:, 0]), np.repeat(3.0 * across, 8), atol=1e-9)


@pytest.mark.parametrize(
    ("structure", "pattern", "words"),
    [
        (perovskite((3, 2, 1)), "a0a0c+", "tilt about c alternates along a, where their number is odd"),
        (perovskite((2, 2, 1)), "a0a0c-", "tilt about c alternates along c"),
        (copper_gold(), "a-b+a-", "octahedra's centres is not clear"),
        (perovskite((1, 1, 1)).get_primitive_structure(), "a-b+a-", "repeat the cell"),
    ],
)
def test_cells_that_cannot_hold_a_tilt(structure: Structure, pattern: str, words: str) -> None:
    with pytest.raises(TiltError, match=words):
        tilt_octahedra(structure, pattern)


def test_a_tilt_in_phase_needs_no_second_layer_along_its_axis() -> None:
    assert space_group(tilt_octahedra(perovskite((2, 2, 1)), "a0a0c+")) == "P4/mbm"


@pytest.mark.parametrize("pattern", ["a-b+", "a-b+a", "x-y+z-", "", "a1b1c1"])
def test_what_is_no_tilt_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match="three letters with signs"):
        tilt_signs(pattern)


def test_a_rattle_depends_on_the_crystal_and_the_seed_alone() -> None:
    crystal = perovskite((2, 2, 2))
    protocol = Protocol(rattle=0.05)
    moved = protocol.start(crystal).cart_coords - crystal.cart_coords
    np.testing.assert_array_equal(moved, protocol.start(crystal.copy()).cart_coords - crystal.cart_coords)
    assert moved.std() == pytest.approx(0.05, rel=0.2)
    assert not np.allclose(moved, replace(protocol, random_state=1).start(crystal).cart_coords - crystal.cart_coords)
    other = random_decoration(crystal, 1, np.random.default_rng(0))
    assert not np.allclose(moved, protocol.start(other).cart_coords - crystal.cart_coords)


def test_symmetry_is_kept_where_that_is_asked_for() -> None:
    ideal = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    noise = np.random.default_rng(0).normal(scale=0.0005, size=(4, 3))
    given = Structure(Lattice.cubic(3.9), ["Au", "Cu", "Cu", "Cu"], ideal + noise)
    assert space_group(given, 1e-4) == "P1"
    kept = relax(given, Protocol(keep_symmetry=True, fmax=0.02), EMT())
    assert kept.converged
    assert space_group(kept.structure, 1e-4) == "Pm-3m"
    free = relax(given, Protocol(fmax=0.02), EMT())
    assert space_group(free.structure, 1e-4) != "Pm-3m", "the noise is not taken out by itself"
    rotations, _ = symmetry_operations(kept.structure.lattice.matrix, kept.structure.frac_coords, [1, 2, 2, 2])
    assert len(rotations) == 48


# --- convergence and failure --------------------------------------------------------------------


def test_convergence_is_told() -> None:
    short = relax(copper_gold(), Protocol(steps=2), EMT())
    assert (short.converged, short.steps) == (False, 2)
    full = relax(copper_gold(), Protocol(fmax=0.03), EMT())
    assert full.converged
    assert full.greatest_force <= 0.03
    assert full.greatest_stress is not None
    assert full.energy < short.energy
    still = relax(copper_gold(), PROTOCOLS["static"], EMT())
    assert (still.steps, still.converged) == (0, True), "where nothing moves, nothing has to converge"
    np.testing.assert_allclose(still.structure.cart_coords, copper_gold().cart_coords, atol=1e-12)


class Broken(Calculator):
    """Forces that are not finite after some evaluations, or a pressure that never ends."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, pressure: float = 0.0, finite_for: int = 1000) -> None:
        super().__init__()
        self.pressure, self.left = pressure, finite_for

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.left -= 1
        forces = np.full((len(atoms), 3), 0.01 if self.left > 0 else np.nan)
        stress = np.array([1, 1, 1, 0, 0, 0]) * self.pressure
        self.results = {"energy": 0.0, "forces": forces, "stress": stress}


@pytest.mark.parametrize(
    ("calculator", "words"),
    [
        (Broken(finite_for=4), "not finite after 3 steps"),
        (Broken(pressure=-1.0), "the cell burst from"),
        (Broken(pressure=1.0), "the cell collapsed from"),
    ],
)
def test_what_runs_away_ends_in_a_named_failure(calculator: Calculator, words: str) -> None:
    with pytest.raises(DivergedError, match=words):
        relax(copper_gold(), Protocol(fmax=1e-3), calculator)


def test_crystals_that_cannot_be_relaxed() -> None:
    shared = Structure(Lattice.cubic(3.7), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(RelaxationError, match="sites are shared"):
        relax(shared, Protocol(), EMT())
    on_top = Structure(Lattice.cubic(3.7), ["Cu", "Cu"], [[0, 0, 0], [0.01, 0, 0]])
    with pytest.raises(DivergedError, match=r"0\.037 Å apart"):
        relax(on_top, Protocol(), EMT())
    with pytest.raises(RelaxationError, match="NotImplementedError"):
        relax(perovskite(), Protocol(), EMT())


def test_charges_and_slabs_stay_what_they_are() -> None:
    ions = Structure(Lattice.orthorhombic(3.9, 3.9, 20), ["Cu+", "Au-"], [[0, 0, 0.5], [0.5, 0.5, 0.6]])
    slab = Structure(Lattice(ions.lattice.matrix, pbc=(True, True, False)), ions.species, ions.frac_coords)
    found = relax(slab, Protocol(cell="fixed", fmax=0.05), EMT())
    assert found.converged
    assert found.structure.lattice == slab.lattice
    assert found.structure.lattice.pbc == (True, True, False)
    assert [str(site.specie) for site in found.structure] == ["Cu+", "Au-"]


# --- protocols and potentials -------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimiser": "SGD"},
        {"cell": "loose"},
        {"fmax": 0.0},
        {"steps": -1},
        {"tilt": "none"},
        {"rattle": 0.1, "keep_symmetry": True},
    ],
)
def test_settings_that_make_no_protocol(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Protocol(**wrong)


def test_a_protocol_is_named_or_read_from_json(tmp_path: Path) -> None:
    assert named_protocol("tilted").tilt == "a-b+a-"
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"potential": "emt", "fmax": 0.01}))
    assert named_protocol(str(path)) == Protocol(potential="emt", fmax=0.01)
    path.write_text(Protocol(rattle=0.1, random_state=4).to_json())
    assert named_protocol(str(path)) == Protocol(rattle=0.1, random_state=4)
    for text, words in (("{", "not JSON"), ('{"speed": 1}', "speed"), ("[1]", "no object"), ('{"fmax": "x"}', "type")):
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            named_protocol(str(path))
    with pytest.raises(ValueError, match="no protocol 'gentle'; there are"):
        named_protocol("gentle")


def test_the_id_of_a_protocol_holds_all_that_changes_an_energy() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"fmax": 0.02},
        {"random_state": 1},
        {"tilt": "a0a0c+"},
        {"steps": 9},
        {"cell": "fixed"},
    ]
    ids = {Protocol(**change).id("CHGNet 0.3.0") for change in changes} | {Protocol().id("CHGNet 0.4.0")}
    assert len(ids) == len(changes) + 1
    assert Protocol().id("x") == "e9f698cb75d432d4", "as in version 0.1"
    assert Protocol(rattle=0.1, random_state=4).id("x") == "370700eef906c37c"


def test_potentials_by_name_and_by_object() -> None:
    by_name, by_path, by_object = (open_potential(which) for which in ("emt", "ase.calculators.emt:EMT", EMT()))
    energies = {relax(copper_gold(), PROTOCOLS["static"], which).energy for which in (by_name, by_path, by_object)}
    assert len(energies) == 1
    assert by_object.name == "EMT"
    assert all(found.version.startswith("(ase 3.") for found in (by_name, by_path, by_object))
    assert open_potential(by_name) is by_name
    for wrong in ("unheard-of", "ase.calculators.emt:Nothing", 3):
        with pytest.raises(ValueError):
            open_potential(wrong)
    with pytest.raises(MissingDependencyError, match="install the package"):
        open_potential("no_such_package:potential")


def test_without_chgnet_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for absent in ("torch", "chgnet.model"):
        monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'qperov\[potentials\]'"):
        relax(copper_gold())


def test_a_label_says_where_it_comes_from() -> None:
    learned = Potential("CHGNet", "0.3.0 (chgnet 0.4.2)", EMT(), learned=True)
    protocol = Protocol(tilt="a-b+a-", fmax=0.02, steps=0)
    found = relax(perovskite((2, 2, 2)), replace(protocol, steps=0), replace(learned, calculator=Broken()))
    assert found.provenance == (
        "CHGNet 0.3.0 (chgnet 0.4.2), machine-learned potential, not DFT: energy of the start, from the tilt a-b+a- of "
        "10°, nothing relaxed"
    )
    words = relax(copper_gold(), Protocol(keep_symmetry=True), EMT()).provenance
    assert "DFT" not in words
    assert "positions and cell relaxed from the cell as given, its space group kept by FIRE to 0.03 eV/Å" in words
