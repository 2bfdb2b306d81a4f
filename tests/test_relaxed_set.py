"""A set of relaxed orderings as one file: what goes in comes out, small and with its warnings."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from perovskites import halide_sites, perovskite, with_iodine
from pymatgen.core import Lattice, Structure

from qperov.datasets.embedded.cpx222 import RelaxedOrdering, RelaxedSet, read_relaxed_set, write_relaxed_set
from qperov.errors import FileFormatError, MissingReferenceError

PARENT = perovskite((2, 1, 1))
SITES = tuple(halide_sites(PARENT).tolist())


def ordering(count: int, energy: float, *, converged: bool = True) -> RelaxedOrdering:
    """The first ``count`` X sites iodine, the cell strained and every atom moved."""
    rng = np.random.default_rng(count)
    structure = with_iodine(PARENT, SITES[:count])
    lattice = Lattice(structure.lattice.matrix @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))))
    positions = structure.frac_coords + rng.normal(scale=0.02, size=(10, 3))
    relaxed = Structure(lattice, structure.species, positions)
    return RelaxedOrdering(f"o{count}", relaxed, count + 1, energy, 0.0123, 0.045, 17, converged)


def relaxed_set(*orderings: RelaxedOrdering) -> RelaxedSet:
    provenance = {"sentence": "CHGNet 0.3.0, not DFT", "cautions": ["Not DFT."], "label_noise": 2.5}
    return RelaxedSet("two", PARENT, SITES, ("Br", "I"), ("CsPbBr3", "CsPbI3"), orderings, provenance)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = relaxed_set(ordering(0, -35.0), ordering(2, -33.5), ordering(6, -31.0))
    path = tmp_path / "two.json.gz"
    write_relaxed_set(made, path)
    read = read_relaxed_set(path)
    assert (read.name, read.sites, read.species, read.provenance) == (made.name, SITES, ("Br", "I"), made.provenance)
    for before, after in zip(made.orderings, read.orderings, strict=True):
        assert after.structure.species == before.structure.species
        np.testing.assert_allclose(after.structure.lattice.matrix, before.structure.lattice.matrix, atol=1e-5)
        np.testing.assert_allclose(after.structure.cart_coords, before.structure.cart_coords, atol=1e-4)
        assert (after.id, after.multiplicity, after.energy, after.greatest_force, after.steps, after.converged) == (
            before.id, before.multiplicity, before.energy, before.greatest_force, before.steps, before.converged,
        )  # fmt: skip
    again = tmp_path / "again.json.gz"
    write_relaxed_set(read, again)
    assert again.read_bytes() == path.read_bytes()


def test_dataset_says_whose_energies_it_holds() -> None:
    made = relaxed_set(ordering(0, -35.0), ordering(2, -33.5), ordering(3, -33.1, converged=False), ordering(6, -31.0))
    data = made.dataset()
    assert data.ids == ("o0", "o2", "o6"), "what did not converge has no label"
    assert data.y is not None
    # two formula units, a third iodine: (−33.5 − (2/3·(−35) + 1/3·(−31)))/2 = 1/12 eV
    np.testing.assert_allclose(data.y, [0, 1000 / 12, 0], atol=1e-9)
    assert (data.target, data.unit) == ("mixing_energy", "meV/f.u.")
    assert set(data.provenance) == {"CHGNet 0.3.0, not DFT"}
    assert data.cautions == ("Not DFT.",)
    assert data.groups.tolist() == [0, 1, 2]
    assert data.label_noise == 2.5
    with pytest.raises(MissingReferenceError, match="CsPbI3"):
        relaxed_set(ordering(0, -35.0)).dataset()


def test_sites_must_stay_in_order(tmp_path: Path) -> None:
    good = ordering(2, -33.5)
    turned = Structure.from_sites(list(good.structure)[::-1])
    with pytest.raises(ValueError, match="o2: its sites are not those of the parent"):
        write_relaxed_set(relaxed_set(replace(good, structure=turned)), tmp_path / "x.json.gz")
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "two.json.gz"
    write_relaxed_set(relaxed_set(ordering(0, -35.0)), path)
    whole = path.read_bytes()
    plain = json.loads(gzip.decompress(whole))
    del plain["sites"]
    for content in (whole[:-20], b"text", gzip.compress(b"{}"), gzip.compress(json.dumps(plain).encode())):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="not a set of relaxed orderings"):
            read_relaxed_set(path)
