"""The embedded datasets abx3 and abx3_radii: complete, labelled as they say, and as known compounds are."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from element_phases import element_phase
from pymatgen.core import Element, Lattice, Structure

import qperov
from qperov.crystals.energies import formation_energies
from qperov.crystals.perovskites.cells import perovskite_compositions
from qperov.crystals.perovskites.sites import assign_sites
from qperov.crystals.plausibility import check_cell
from qperov.datasets.embedded.abx3 import (
    ElementReference,
    PerovskiteSet,
    RelaxedPerovskite,
    embedded_perovskite_set,
    read_perovskite_set,
    write_perovskite_set,
)
from qperov.datasets.embedded.abx3_radii import perovskite_id, radius_cell
from qperov.errors import FileFormatError, MissingReferenceError, UnfinishedRunError

#: eV per atom of one kJ/mol of formula units of five atoms.
PER_KJ = 1 / 96.485 / 5


@pytest.fixture(scope="module")
def shipped() -> PerovskiteSet:
    return embedded_perovskite_set("abx3")


@pytest.fixture(scope="module")
def data() -> qperov.datasets.CrystalDataset:
    return qperov.load_dataset("abx3")


@pytest.fixture(scope="module")
def radii() -> qperov.datasets.CrystalDataset:
    return qperov.load_dataset("abx3_radii")


def energy_of(shipped: PerovskiteSet, entry_id: str) -> float:
    return float(shipped.formation_energies[[each.id for each in shipped.perovskites].index(entry_id)])


# --- what is in it ------------------------------------------------------------------------------


def test_the_file_is_small() -> None:
    file = resources.files("qperov.datasets.embedded").joinpath("data", "abx3.json.gz")
    assert len(file.read_bytes()) < 2_000_000


def test_every_composition_is_relaxed_or_has_a_reason(shipped: PerovskiteSet) -> None:
    wanted = [perovskite_id(sites) for sites in perovskite_compositions()]
    relaxed = [each.id for each in shipped.perovskites]
    assert len(wanted) == len(set(wanted)) == 1605
    assert sorted([*relaxed, *shipped.failures]) == sorted(wanted)
    assert relaxed == [entry_id for entry_id in wanted if entry_id not in shipped.failures], "in the known order"
    assert all(shipped.failures.values())
    assert len(relaxed) >= 1550


def test_sites_are_the_ions_of_the_composition(shipped: PerovskiteSet) -> None:
    for each in shipped.perovskites:
        a, b, x = (mixture[0][0] for mixture in (each.sites.a, each.sites.b, each.sites.x))
        assert [site.specie for site in each.structure] == [a.element, b.element, *[x.element] * 3]
        assert a.oxi_state + b.oxi_state + 3 * x.oxi_state == 0
        assert 0.75 <= each.tolerance_factor <= 1.10


def test_flags_tell_what_converged(shipped: PerovskiteSet, data: qperov.datasets.CrystalDataset) -> None:
    fmax = shipped.provenance["protocol"]["fmax"]
    assert fmax <= 0.05
    converged = [each for each in shipped.perovskites if each.converged]
    # the criterion is met in the optimiser's variables, where a strained cell turns forces a little
    assert max(each.greatest_force for each in converged) < 1.5 * fmax
    assert len(converged) > 0.95 * len(shipped.perovskites)
    assert data.ids == tuple(each.id for each in converged)
    assert {issue.path for issue in data.issues} == {
        *shipped.failures, *(each.id for each in shipped.perovskites if not each.converged),
    }  # fmt: skip
    assert all(isinstance(issue, UnfinishedRunError) for issue in data.issues)
    for each in shipped.perovskites:
        check_cell(each.structure, each.id)


def test_labels_say_that_they_are_no_dft(data: qperov.datasets.CrystalDataset, shipped: PerovskiteSet) -> None:
    assert (data.target, data.unit) == ("formation_energy", "eV/atom")
    assert set(data.provenance) == {shipped.provenance["sentence"]}
    assert "CHGNet 0.3.0" in data.provenance[0]
    assert "not DFT" in data.provenance[0]
    told = " ".join(data.cautions)
    for word in ("not DFT", "once", "phonons", "another structure", "rare earths"):
        assert word in told
    assert set(shipped.provenance["versions"]) >= {"chgnet", "torch", "ase", "pymatgen", "qperov"}


def test_equal_elements_on_equal_sites_are_one_group(data: qperov.datasets.CrystalDataset) -> None:
    elements = [tuple(site.specie.symbol for site in structure) for structure in data.structures]
    for group in np.unique(data.groups):
        assert len({elements[row] for row in np.flatnonzero(data.groups == group)}) == 1
    assert len(np.unique(data.groups)) == len(set(elements))


def test_it_loads_without_torch() -> None:
    script = (
        "import sys, qperov; d = qperov.load_dataset('abx3'); assert len(d) > 1500;"
        "print([m for m in ('torch', 'chgnet') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- energies -----------------------------------------------------------------------------------


def test_formation_energies_are_those_of_the_stored_numbers(shipped: PerovskiteSet) -> None:
    for row in (0, 700, 1500):
        each = shipped.perovskites[row]
        a, b, x = (shipped.elements[site.specie.symbol].energy for site in each.structure[:3])
        expected = (each.energy - a - b - 3 * x) / 5
        assert shipped.formation_energies[row] == pytest.approx(expected, abs=1e-12)
    used = {site.specie.symbol for each in shipped.perovskites for site in each.structure}
    assert set(shipped.elements) == used


@pytest.mark.parametrize(
    ("entry_id", "known"),
    [
        # standard enthalpies of formation at 298 K, kJ/mol: R. A. Robie and B. S. Hemingway, U.S. Geol. Survey
        # Bulletin 2131 (1995) for CaTiO3; CRC Handbook of Chemistry and Physics for SrTiO3, and for CsI + PbI2,
        # from which CsPbI3 forms with hardly any heat: B. Wang and A. Navrotsky, Thermochim. Acta 695, 178813 (2021)
        ("abx3-Ca2+Ti4+O3", -1660.6),
        ("abx3-Sr2+Ti4+O3", -1672.4),
        ("abx3-Cs+Pb2+I3", -346.6 - 175.5),
    ],
)
def test_known_compounds_lie_near_measured_enthalpies(shipped: PerovskiteSet, entry_id: str, known: float) -> None:
    assert energy_of(shipped, entry_id) == pytest.approx(known * PER_KJ, abs=0.2)


def test_chemistry_shows(shipped: PerovskiteSet) -> None:
    anions = np.array([each.sites.x[0][0].symbol for each in shipped.perovskites])
    energies = shipped.formation_energies
    means = {anion: energies[anions == anion].mean() for anion in ("F", "Cl", "Br", "I", "O", "S")}
    assert means["F"] < means["Cl"] < means["Br"] < means["I"] < 0
    assert means["O"] < means["S"] < 0
    for anion in ("O", "F"):
        assert (energies[anions == anion] < 0).mean() > 0.99
    # titanates of the alkaline earths are far more stable than oxides of noble metals
    assert energy_of(shipped, "abx3-Sr2+Ti4+O3") < energy_of(shipped, "abx3-Sr2+Ir4+O3") - 1


def test_the_same_elements_from_other_radii_mostly_end_alike(data: qperov.datasets.CrystalDataset) -> None:
    assert data.label_noise is not None
    assert 0 < data.label_noise < 0.1


# --- distortions --------------------------------------------------------------------------------


def test_symmetry_breaks_where_it_should(shipped: PerovskiteSet) -> None:
    by_id = {each.id: each for each in shipped.perovskites}
    for ferroelectric in ("abx3-Ba2+Ti4+O3", "abx3-K+Nb5+O3"):
        each = by_id[ferroelectric]
        assert each.octahedral
        assert each.bonds.max() / each.bonds.min() > 1.05, "B leaves the centre"
    a, b, c = sorted(by_id["abx3-Pb2+Ti4+O3"].structure.lattice.abc)
    assert b / a < 1.01, "lead titanate is tetragonal"
    assert c / a == pytest.approx(1.32, abs=0.01), "more so than measured, as the cautions say"
    for cubic in ("abx3-Ba2+Zr4+O3", "abx3-Ba2+Hf4+O3"):
        lattice = by_id[cubic].structure.lattice
        assert np.ptp(lattice.abc) < 0.02
        assert by_id[cubic].bonds.max() / by_id[cubic].bonds.min() < 1.02


def test_lattice_constants_are_near_measured_ones(shipped: PerovskiteSet) -> None:
    # room temperature, Å: R. H. Mitchell, Perovskites: Modern and Ancient, Almaz Press (2002)
    measured = {"abx3-Sr2+Ti4+O3": 3.905, "abx3-Ba2+Zr4+O3": 4.192, "abx3-Cs+Ca2+F3": 4.523, "abx3-K+Mg2+F3": 3.989}
    by_id = {each.id: each for each in shipped.perovskites}
    for entry_id, edge in measured.items():
        assert by_id[entry_id].structure.volume ** (1 / 3) == pytest.approx(edge, rel=0.02)


def test_many_cells_left_the_perovskite_structure(shipped: PerovskiteSet) -> None:
    kept = np.array([each.octahedral for each in shipped.perovskites])
    assert 0.4 < kept.mean() < 0.9
    assert any(f"{kept.sum()} of {len(kept)} cells kept" in sentence for sentence in shipped.provenance["cautions"])
    ratios = np.array([each.bonds.max() / each.bonds.min() for each in shipped.perovskites])
    between = ((ratios > 1.4) & (ratios < 1.7)).mean()
    assert between < 0.1, "what is called kept hardly depends on the bound"


# --- cells from radii ---------------------------------------------------------------------------


def test_radius_cells_are_cubic_with_t_as_target(radii: qperov.datasets.CrystalDataset) -> None:
    assert len(radii) == 1605
    assert (radii.target, radii.unit) == ("tolerance_factor", None)
    assert radii.y is not None
    assert 0.75 <= radii.y.min() < radii.y.max() <= 1.10
    assert Counter(len(structure) for structure in radii.structures) == {5: 1605}
    assert all(
        structure.lattice.is_orthogonal and np.ptp(structure.lattice.abc) < 1e-9 for structure in radii.structures
    )
    row = radii.ids.index("abx3-Sr2+Ti4+O3")
    r_a, r_b, r_x = 1.44, 0.605, 1.40
    assert radii.y[row] == pytest.approx((r_a + r_x) / np.sqrt(2) / (r_b + r_x))
    assert len(np.unique(radii.groups)) == 1599
    assert all(isinstance(site.specie, Element) for site in radii.structures[row]), "no charges"


def test_both_sets_name_their_entries_alike(
    radii: qperov.datasets.CrystalDataset, data: qperov.datasets.CrystalDataset
) -> None:
    assert set(data.ids) <= set(radii.ids)
    place = {entry_id: row for row, entry_id in enumerate(radii.ids)}
    for entry_id, structure in zip(data.ids[::97], data.structures[::97], strict=True):
        assert structure.species == radii.structures[place[entry_id]].species


# --- the file -----------------------------------------------------------------------------------


def relaxed(entry: int, *, converged: bool = True) -> RelaxedPerovskite:
    """A composition, its cell strained and every atom moved."""
    sites = perovskite_compositions()[entry]
    cell, rng = radius_cell(sites), np.random.default_rng(entry)
    lattice = Lattice(cell.lattice.matrix @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))))
    moved = Structure(lattice, cell.species, cell.frac_coords + rng.normal(scale=0.02, size=(5, 3)))
    return RelaxedPerovskite(perovskite_id(sites), sites, moved, -30.0 - entry, 0.0123, 0.045, 17, converged)


def small_set(*perovskites: RelaxedPerovskite) -> PerovskiteSet:
    symbols = {site.specie.symbol for each in perovskites for site in each.structure}
    return PerovskiteSet(
        "few",
        perovskites,
        {symbol: ElementReference("fcc", -1.0) for symbol in symbols},
        {"abx3-lost": "DivergedError: burst"},
        {"sentence": "CHGNet 0.3.0, not DFT", "cautions": ["Not DFT."]},
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = small_set(relaxed(3), relaxed(500, converged=False), relaxed(1604))
    write_perovskite_set(made, tmp_path / "few.json.gz")
    read = read_perovskite_set(tmp_path / "few.json.gz")
    assert replace(read, perovskites=()).__dict__ == replace(made, perovskites=()).__dict__
    for before, after in zip(made.perovskites, read.perovskites, strict=True):
        assert after.sites == before.sites
        assert after.structure.species == before.structure.species
        np.testing.assert_allclose(after.structure.lattice.matrix, before.structure.lattice.matrix, atol=1e-5)
        np.testing.assert_allclose(after.structure.frac_coords, before.structure.frac_coords, atol=1e-6)
        assert (after.id, after.energy, after.steps, after.converged) == (
            before.id, before.energy, before.steps, before.converged,
        )  # fmt: skip
    write_perovskite_set(read, tmp_path / "again.json.gz")
    assert (tmp_path / "again.json.gz").read_bytes() == (tmp_path / "few.json.gz").read_bytes()


def test_what_did_not_converge_is_an_issue_and_no_label() -> None:
    made = small_set(relaxed(3), relaxed(500, converged=False))
    data = made.dataset()
    assert len(data) == 1
    assert data.y is not None
    assert data.y[0] == pytest.approx((-33.0 + 5.0) / 5)
    assert [issue.path for issue in data.issues] == [made.perovskites[1].id, "abx3-lost"]
    assert "burst" in data.issues[1].reason
    with pytest.raises(MissingReferenceError):
        replace(made, elements={}).dataset()


def test_bonds_of_a_cubic_cell_are_half_its_edge() -> None:
    sites = perovskite_compositions()[0]
    cell = radius_cell(sites)
    cubic = RelaxedPerovskite("x", sites, cell, 0.0, 0.0, 0.0, 0, True)
    np.testing.assert_allclose(cubic.bonds, cell.lattice.a / 2)
    assert cubic.octahedral
    positions = cell.frac_coords.copy()
    positions[1] += [0.2, 0, 0]
    moved = Structure(cell.lattice, cell.species, positions)
    expected = cell.lattice.a * np.array([np.hypot(0.5, 0.2)] * 4 + [0.3, 0.7])
    np.testing.assert_allclose(np.sort(replace(cubic, structure=moved).bonds), np.sort(expected))
    assert not replace(cubic, structure=moved).octahedral


@pytest.mark.parametrize("content", [b"", b"text", gzip.compress(b"{}", mtime=0), gzip.compress(b"[1]", mtime=0)])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.json.gz").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"bad\.json\.gz.*not a set of relaxed perovskites"):
        read_perovskite_set(tmp_path / "bad.json.gz")


# --- elements -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
def test_elements_start_from_their_known_structures(shipped: PerovskiteSet) -> None:
    groups = {"Fe": "Im-3m", "Cu": "Fm-3m", "Ti": "P6_3/mmc", "Ge": "Fd-3m", "Sn": "Fd-3m", "Bi": "R-3m", "Mn": "I-43m",
              "Te": "P3_121", "Ga": "Cmce", "Br": "Cmce", "O": "C2/m", "S": "Fddd"}  # fmt: skip
    for symbol, group in groups.items():
        assert element_phase(symbol)[1].get_space_group_info(0.01)[0] == group
    for symbol, bond in {"O": 1.21, "F": 1.42, "Cl": 1.95, "Br": 2.28, "I": 2.71, "S": 2.04}.items():
        cell = element_phase(symbol)[1]
        nearest = [min(other.nn_distance for other in found) for found in cell.get_all_neighbors(3.5)]
        np.testing.assert_allclose(nearest, bond, atol=0.02)
    assert {symbol: len(element_phase(symbol)[1]) for symbol in ("S", "Mn", "O")} == {"S": 32, "Mn": 29, "O": 2}
    for symbol, reference in shipped.elements.items():
        assert reference.phase == element_phase(symbol)[0]
        check_cell(element_phase(symbol)[1], symbol)


def test_elements_that_are_not_known_are_named() -> None:
    for symbol in ("Qq", "H", "Og"):
        with pytest.raises(MissingReferenceError, match=symbol):
            element_phase(symbol)


def test_elements_have_no_energy_of_formation(shipped: PerovskiteSet) -> None:
    cells = [element_phase(symbol)[1] for symbol in shipped.elements]
    energies = np.array([len(cell) * shipped.elements[cell[0].specie.symbol].energy for cell in cells])
    found = formation_energies(cells, energies, {name: each.energy for name, each in shipped.elements.items()})
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_sites_are_told_from_the_relaxed_crystals_too(shipped: PerovskiteSet) -> None:
    each = next(each for each in shipped.perovskites if each.id == "abx3-Sr2+Ti4+O3")
    assert assign_sites(each.structure).formula == "SrTiO3"
