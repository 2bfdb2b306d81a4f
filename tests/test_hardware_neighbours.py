"""Misreading that neighbours share, undone: against dense matrices, and in jobs of a simulator."""

from __future__ import annotations

from contextlib import closing
from itertools import product

import numpy as np
import pytest
from scipy.linalg import expm

from qperov.hardware.jobs import jobs
from qperov.hardware.jobs.backend import open_service
from qperov.hardware.jobs.counts import Counts, Misreading, z_expectations, zero_probability
from qperov.hardware.jobs.ledger import Ledger
from qperov.hardware.jobs.neighbours import NeighbourMisreading, readout_misreading
from qperov.hardware.plan import pairs
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.plan import BackendSpec, Settings
from qperov.hardware.plan.planning import plan_fidelities
from qperov.quantum.kernels.fidelity import FidelityKernel

#: Outcomes that stand for a distribution: counts are whole numbers.
MANY = 10**12


def counted(chances: np.ndarray) -> Counts:
    """Counts in proportion to chances, shape (n_rows, 2**n_qubits)."""
    n = chances.shape[1].bit_length() - 1
    bits = (np.arange(2**n)[:, None] >> np.arange(n)[::-1] & 1).astype(bool)
    starts = np.arange(len(chances) + 1) * 2**n
    return Counts(n, starts, np.tile(bits, (len(chances), 1)), np.round(MANY * chances).astype(np.int64).ravel())


def local(matrix: np.ndarray, wire: int, n: int) -> np.ndarray:
    width = len(matrix).bit_length() - 1
    return np.kron(np.kron(np.eye(2**wire), matrix), np.eye(2 ** (n - wire - width)))


def confusion(n: int, rng: np.random.Generator, shared: float) -> np.ndarray:
    """A stochastic matrix of independent errors, and of ones that neighbours share."""
    G = np.zeros((2**n, 2**n))
    for wire in range(n):
        up, down = rng.uniform(0, 0.03, 2)
        G += local(np.array([[-up, down], [up, -down]]), wire, n)
    for wire in range(n - 1):
        rates = rng.uniform(0, shared, (4, 4)) * (1 - np.eye(4))
        G += local(rates - np.diag(rates.sum(axis=0)), wire, n)
    return expm(G)


def calibration(A: np.ndarray, n: int, rows: list[tuple[int, ...]]) -> Counts:
    prepared = [int("".join(str(row[wire % 3]) for wire in range(n)), 2) for row in rows]
    return counted(A[:, prepared].T)


EIGHT = list(product((0, 1), repeat=3))
TWO = [(0, 0, 0), (1, 1, 1)]


def signs(n: int) -> np.ndarray:
    return 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n)[::-1] & 1)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_errors_of_single_wires_are_undone_exactly(n: int) -> None:
    rng = np.random.default_rng(n)
    A = confusion(n, rng, 0.0)
    truth = rng.dirichlet(np.ones(2**n) / 4)
    measured = counted((A @ truth)[None])
    found = readout_misreading(calibration(A, n, EIGHT))
    assert isinstance(found, NeighbourMisreading)
    assert zero_probability(measured, misreading=found)[0] == pytest.approx(truth[0], abs=1e-7)
    np.testing.assert_allclose(z_expectations(measured, misreading=found)[0], truth @ signs(n), atol=1e-7)
    alone = Misreading.from_calibration(calibration(A, n, TWO))
    np.testing.assert_allclose(found.one_for_zero, alone.one_for_zero, atol=1e-9)
    np.testing.assert_allclose(found.zero_for_one, alone.zero_for_one, atol=1e-9)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_errors_that_neighbours_share_are_undone(n: int) -> None:
    """What is left is ten times less than what the correction of single wires leaves."""
    rng = np.random.default_rng(10 + n)
    left, alone = [], []
    for _ in range(10):
        A = confusion(n, rng, 0.03)
        truth = rng.dirichlet(np.ones(2**n) / 4)
        measured = counted((A @ truth)[None])
        for found, rows, kind in ((left, EIGHT, NeighbourMisreading), (alone, TWO, Misreading)):
            misreading = kind.from_calibration(calibration(A, n, rows))
            zero = zero_probability(measured, misreading=misreading) - truth[0]
            z = z_expectations(measured, misreading=misreading)[0] - truth @ signs(n)
            found.append(np.concatenate([zero, z]))
    assert np.sqrt(np.mean(np.square(left))) < 0.1 * np.sqrt(np.mean(np.square(alone)))


def test_wires_of_a_part_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    A = confusion(5, rng, 0.0)
    truth = rng.dirichlet(np.ones(32) / 4)
    measured = counted((A @ truth)[None])
    found = readout_misreading(calibration(A, 5, EIGHT))
    code = z_expectations(measured, slice(3, None), found)[0]
    np.testing.assert_allclose(code, (truth @ signs(5))[3:], atol=1e-7)
    trash = truth.reshape(8, 4).sum(axis=1)[0]
    assert zero_probability(measured, slice(None, 3), found)[0] == pytest.approx(trash, abs=1e-7)


def test_wires_that_tell_nothing_are_named() -> None:
    A = np.kron(np.eye(2), np.full((2, 2), 0.5))
    with pytest.raises(ValueError, match="wire 1 tells nothing"):
        readout_misreading(calibration(A, 2, EIGHT))


@pytest.mark.parametrize("service", ["", "qiskit"])
def test_jobs_hold_eight_circuits_for_neighbours(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import misbehaving_backend

    x, kernel = np.random.default_rng(3).normal(size=(4, 3)), FidelityKernel(bandwidth=0.4)
    spec = BackendSpec("aer", 0.05)
    if service:
        monkeypatch.setattr(misbehaving_backend, "factory", misbehaving_backend.MisbehavingBackend, raising=False)
        spec = BackendSpec("misbehaving", None, None, "qiskit:misbehaving_backend.factory")
    options = Options(layout_trials=1, optimization_level=1, readout_mitigation="neighbours")
    with Ledger() as ledger, closing(open_service(spec, service=spec.service)) as opened:
        plan = plan_fidelities(kernel.circuit, 0.4 * x, pairs.full(4), opened, spec, Settings(4000, options))
        jobs.submit(plan, opened, ledger)
        found = jobs.collect(plan, opened, ledger)
    assert plan.extra == 8 + (3 if service else 0)
    assert plan.cost.executions == (6 + plan.extra) * 4000
    assert found.complete
    one, zero = found.misreading
    assert (one, zero) == (pytest.approx(0, abs=1e-3) if service else pytest.approx(0.05, abs=0.01),) * 2


def test_unknown_corrections_are_refused() -> None:
    with pytest.raises(ValueError, match="readout_mitigation"):
        Options(readout_mitigation="all")
