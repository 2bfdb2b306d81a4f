"""What several test modules share."""

from __future__ import annotations

import pytest
from development_data import SHARED

import qperov
from qperov.datasets.dataset import CrystalDataset

CPX321 = SHARED / "cpx321"


@pytest.fixture(scope="session")
def cpx321_files() -> CrystalDataset:
    """The 6666 published POSCAR files, where the development data are present."""
    if not CPX321.exists():
        pytest.skip("development data not present")
    return qperov.read(CPX321 / "poscars.tar.gz")
