"""What an ideal machine would measure: values of a plan's circuits by statevectors or matrix product states."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
from qperov_circuits import Gate, inverse

from qperov.errors import HardwareError
from qperov.hardware.plan.plan import Plan
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.quantum.simulation.mps import MatrixProductStates, matrix_product_states
from qperov.quantum.simulation.statevector import states

#: Qubits up to which expectation values of whole circuits come from statevectors.
STATEVECTOR_QUBITS = 12

#: Qubits and samples up to which exact values take no more than a moment; samples only for matrix product states.
QUICK_QUBITS, QUICK_SAMPLES = 14, 64

#: Signs of ⟨Z⟩ for the outcomes 0 and 1.
SIGNS = np.array([1.0, -1.0])


def has_exact_values(plan: Plan) -> bool:
    """Whether the plan says of which samples and kernel it is; those of version 0.1 and of autoencoders do not."""
    samples = plan.samples
    return samples is not None and samples.features is not None and bool(samples.kernel) and plan.pairs is not None


def is_quick(plan: Plan) -> bool:
    """Whether exact values of a plan that has them take no more than a moment."""
    x, kernel = _samples(plan), _kernel(plan)
    if plan.n_qubits <= QUICK_QUBITS:
        return True
    return len(x) <= QUICK_SAMPLES and kernel.chosen_simulator(x.shape[1]) == "mps"


def exact_values(plan: Plan) -> np.ndarray:
    """Exact values in the form of `qperov.hardware.jobs.results.Results.raw`.

    Raises
    ------
    HardwareError
        The plan does not say of what it is.
    CircuitSizeError, BondDimensionError
        Too many qubits for statevectors, or too much entanglement for matrix product states.
    """
    x, kernel = _samples(plan), _kernel(plan)
    if isinstance(kernel, ProjectedKernel):
        vectors = kernel.bloch_vectors(x).reshape(len(x), plan.n_qubits, 3)
        return vectors.transpose(0, 2, 1).reshape(-1, plan.n_qubits)
    pairs = plan.pairs
    assert pairs is not None
    if pairs.form == "full":
        return kernel(x)[pairs.first, pairs.second]
    columns, place = np.unique(pairs.second, return_inverse=True)
    rows, row = np.unique(pairs.first, return_inverse=True)
    return kernel(x[rows], x[columns])[row, place]


def exact_marginals(plan: Plan, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """⟨Z⟩ of each wire and ⟨ZZ⟩ of wires that follow each other, of the circuits with some rows of bindings.

    Parameters
    ----------
    plan : Plan
    rows : ndarray of int
        Numbers of rows of bindings.

    Returns
    -------
    ndarray of shape (n_rows, n_qubits), ndarray of shape (n_rows, n_qubits − 1)

    Raises
    ------
    HardwareError, CircuitSizeError, BondDimensionError
        As `exact_values`.
    """
    x, kernel = _samples(plan), _kernel(plan)
    scaled = np.asarray(kernel.bandwidth) * x
    if isinstance(kernel, FidelityKernel):
        assert plan.pairs is not None
        first, second = scaled[plan.pairs.first[rows]], scaled[plan.pairs.second[rows]]
        gates = [*kernel.circuit(list(first.T)), *inverse(kernel.circuit(list(second.T)))]
        return _marginals(gates, plan.n_qubits, len(rows))
    wires = range(plan.n_qubits)
    turns: tuple[list[Gate], ...] = ([], [Gate("rz", (wire,), -pi / 2) for wire in wires])
    hadamards = [Gate("h", (wire,)) for wire in wires]
    z, zz = np.empty((len(rows), plan.n_qubits)), np.empty((len(rows), plan.n_qubits - 1))
    for axis in range(3):
        here = np.flatnonzero(rows % 3 == axis)
        if len(here):
            gates = kernel.circuit(list(scaled[rows[here] // 3].T))
            gates = [*gates, *turns[axis], *hadamards] if axis < 2 else gates
            z[here], zz[here] = _marginals(gates, plan.n_qubits, len(here))
    return z, zz


def _samples(plan: Plan) -> np.ndarray:
    if not has_exact_values(plan):
        raise HardwareError(
            "the plan does not say of which samples and kernel it is, so that there are no exact values: plan again "
            "with `qperov hardware plan` (autoencoders and version 0.1 have none)"
        )
    assert plan.samples is not None
    return np.asarray(plan.samples.features)


def _kernel(plan: Plan) -> Any:
    assert plan.samples is not None
    settings = {name: value for name, value in plan.samples.kernel.items() if name != "kernel"}
    return FidelityKernel(**settings) if plan.kind == "fidelity" else ProjectedKernel(**settings)


def _marginals(gates: list[Gate], n_qubits: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    if n_qubits > STATEVECTOR_QUBITS:
        return _chain_marginals(matrix_product_states(gates, n_qubits, n_rows))
    psi = states(gates, n_qubits, n_rows)
    chances = psi.real**2 + psi.imag**2
    signs = 1.0 - 2.0 * (np.arange(2**n_qubits)[:, None] >> np.arange(n_qubits)[::-1] & 1)
    return chances @ signs, chances @ (signs[:, :-1] * signs[:, 1:])


def _chain_marginals(chains: MatrixProductStates) -> tuple[np.ndarray, np.ndarray]:
    z, zz = np.empty((len(chains), chains.n_qubits)), np.empty((len(chains), chains.n_qubits - 1))
    left = signed = np.ones((len(chains), 1, 1), complex)  # of the qubits before, without and with Z on the last
    for k, site in enumerate(chains.sites):
        moved, turned = (np.einsum("nab,nbsr->nasr", edge, site) for edge in (left, signed))
        z[:, k] = np.einsum("nasr,nasr,s->n", moved, site.conj(), SIGNS).real
        if k:
            zz[:, k - 1] = np.einsum("nasr,nasr,s->n", turned, site.conj(), SIGNS).real
        left = np.einsum("nasr,nast->ntr", moved, site.conj())
        signed = np.einsum("nasr,nast,s->ntr", moved, site.conj(), SIGNS)
    return z, zz
