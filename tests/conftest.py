"""What several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

import qperov
from qperov.datasets.dataset import CrystalDataset

CPX321 = Path(__file__).parents[2] / "shared" / "data" / "cpx321"


@pytest.fixture(scope="session")
def cpx321_files() -> CrystalDataset:
    """The 6666 published POSCAR files, where the development data are present."""
    if not CPX321.exists():
        pytest.skip("development data not present")
    return qperov.read(CPX321 / "poscars.tar.gz")
