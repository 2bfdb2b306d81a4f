from __future__ import annotations

import numpy as np
import pytest
import quimb.tensor as qtn
from qperov_circuits import FEATURE_MAPS, Gate, IsingChain, feature_map, peters, zz

from qperov.errors import BondDimensionError, CircuitSizeError
from qperov.quantum.kernels.bandwidth import resolved_kernel
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.projected import ProjectedKernel
from qperov.quantum.simulation import mps_overlaps
from qperov.quantum.simulation.mps import join, largest_bond, matrix_product_states
from qperov.quantum.simulation.mps_overlaps import bloch_vectors, fidelities, fidelity_error
from qperov.quantum.simulation.overlaps import expectations
from qperov.quantum.simulation.statevector import states

RNG = np.random.default_rng(0)


def dense(chain):
    amplitudes = np.ones((len(chain), 1, 1))
    for site in chain.sites:
        amplitudes = np.einsum("nka,nasb->nksb", amplitudes, site).reshape(len(chain), -1, site.shape[3])
    return amplitudes[:, :, 0]


def samples(known, n_qubits, n_samples, reps=2):
    per_qubit = known.features_per_qubit * (reps + 1 if known.spreads else 1)
    return RNG.normal(size=(n_samples, per_qubit * (n_qubits - known.extra_qubits)))


def quimb_fidelity(gates, n_qubits):
    """|⟨a|b⟩|² of two circuits by the matrix product states of quimb, gate by gate."""
    names = {"p": "PHASE", "cx": "CX", "cz": "CZ"}
    chains = []
    for one in gates:
        circuit = qtn.CircuitMPS(n_qubits, cutoff=1e-20)
        for gate in one:
            angle = [] if gate.angle is None else [float(gate.angle)]
            circuit.apply_gate(names.get(gate.name, gate.name.upper()), *angle, *gate.wires)
        chains.append(circuit.psi)
    return abs(chains[0].H @ chains[1]) ** 2


# --- parity -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEATURE_MAPS)
@pytest.mark.parametrize("entanglement", ["linear", "circular"])
@pytest.mark.parametrize("n_qubits", [5, 16])
def test_states_are_those_of_the_statevector(name, entanglement, n_qubits):
    known = feature_map(name)
    X = samples(known, n_qubits, 3)
    gates = list(known.gates(list(X.T), 2, entanglement))
    chain = matrix_product_states(gates, n_qubits, len(X))
    exact = states(gates, n_qubits, len(X))
    np.testing.assert_allclose(dense(chain), exact, atol=1e-10)
    np.testing.assert_allclose(fidelities(chain, chain[1:]), abs(exact.conj() @ exact[1:].T) ** 2, atol=1e-10)
    np.testing.assert_allclose(bloch_vectors(chain), expectations(exact, exact, n_qubits), atol=1e-10)
    assert max([1, *chain.bonds]) <= largest_bond(gates, n_qubits)


def test_any_gate_between_any_qubits():
    angles = iter(RNG.normal(size=(60, 2)))
    gates = [Gate("h", (wire,)) for wire in range(6)]
    for name in ("rxx", "cx", "ryy", "rx", "cz", "x", "rzz", "p", "ry", "cx", "h", "rz", "ryy", "cx"):
        first, second = (int(wire) for wire in RNG.permutation(6)[:2])
        wires = (first, second) if name in ("rxx", "ryy", "rzz", "cx", "cz") else (first,)
        gates.append(Gate(name, wires, None if name in ("h", "x", "cx", "cz") else next(angles)))
    np.testing.assert_allclose(dense(matrix_product_states(gates, 6, 2)), states(gates, 6, 2), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "entanglement"), [("zz", "linear"), ("iqp", "circular"), ("ising_chain", "linear"), ("peters", "linear")]
)
def test_sixty_qubits_are_those_of_quimb(name, entanglement):
    known = feature_map(name)
    x = samples(known, 60, 1, reps=1 if name == "peters" else 2)
    X = np.concatenate([x, x + 0.02 * RNG.normal(size=x.shape)])
    circuits = [list(known.gates(list(x), 1 if name == "peters" else 2, entanglement)) for x in X]
    together = known.gates(list(X.T), 1 if name == "peters" else 2, entanglement)
    ours = fidelities(matrix_product_states(together, 60, 2))
    assert 1e-6 < ours[0, 1] < 1
    np.testing.assert_allclose(ours[0, 1], quimb_fidelity(circuits, 60), atol=1e-8)


# --- all pairs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("transfer_bond", [1, 10])
@pytest.mark.parametrize("n_qubits", [1, 2, 7])
def test_both_ways_to_overlaps_agree_with_dense_products(n_qubits, transfer_bond, monkeypatch):
    monkeypatch.setattr(mps_overlaps, "TRANSFER_BOND", transfer_bond)
    monkeypatch.setattr(mps_overlaps, "TASK_ROWS", 50)
    X = RNG.normal(size=(130, n_qubits))
    chain = matrix_product_states(zz(list(X.T), entanglement="circular"), n_qubits, len(X))
    psi = dense(chain)
    K = fidelities(chain, n_jobs=2)
    np.testing.assert_allclose(K, abs(psi.conj() @ psi.T) ** 2, atol=1e-12)
    assert (K == K.T).all()
    assert (K.diagonal() == 1).all()
    np.testing.assert_allclose(fidelities(chain[:3], chain), K[:3], atol=1e-12)
    np.testing.assert_allclose(fidelities(chain, dtype=np.complex64), K, atol=1e-5)


# --- compression --------------------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [1e-4, 1e-2, 0.1])
def test_what_is_left_out_stays_within_its_bound(tolerance):
    X = RNG.uniform(0, 2, size=(20, 10))
    gates = list(IsingChain(distance=2, gamma=0.8).gates(list(X.T), 3))
    exact = states(gates, 10, len(X))
    rough = matrix_product_states(gates, 10, len(X), tolerance=tolerance)
    assert max(rough.bonds) < max(matrix_product_states(gates, 10, len(X)).bonds)
    distances = np.linalg.norm(dense(rough) - exact, axis=1)
    assert (distances <= rough.error + 1e-12).all()
    assert (rough.error > 0).all()
    difference = abs(fidelities(rough) - abs(exact.conj() @ exact.T) ** 2).max()
    assert 0 < difference <= fidelity_error(rough)


def test_chains_are_right_canonical():
    X = RNG.normal(size=(4, 8))
    chain = matrix_product_states(zz(list(X.T)), 8, 4)
    for site in chain.sites[1:]:
        rows = site.reshape(4, site.shape[1], -1)
        np.testing.assert_allclose(
            rows @ rows.conj().swapaxes(1, 2),
            np.broadcast_to(np.eye(site.shape[1]), (4, site.shape[1], site.shape[1])),
            atol=1e-12,
        )


def test_bond_four_for_two_repetitions_whatever_the_width():
    for n_qubits in (20, 200):
        X = RNG.normal(size=(2, n_qubits))
        for known in (FEATURE_MAPS["zz"], FEATURE_MAPS["iqp"], IsingChain(gamma=1.0)):
            chain = matrix_product_states(known.gates(list(X.T), 2), n_qubits, 2)
            assert max(chain.bonds) == 4 == largest_bond(known.gates(list(X[0]), 2), n_qubits)
    assert largest_bond(peters([0.1] * 150, 1), 25) == 4
    assert largest_bond(zz([0.1] * 60, 1, "full"), 60) == 2**30


def test_sets_of_states_join():
    X = 0.1 * RNG.normal(size=(6, 5))
    narrow = matrix_product_states(zz(list(X.T), 1), 5, 6)
    wide = matrix_product_states(zz(list(X.T), 2), 5, 6)
    both = join([narrow, wide])
    np.testing.assert_allclose(dense(both), np.concatenate([dense(narrow), dense(wide)]), atol=1e-14)
    np.testing.assert_allclose(fidelities(both)[:6, 6:], fidelities(narrow, wide), atol=1e-13)


# --- kernels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FidelityKernel, ProjectedKernel])
@pytest.mark.parametrize("own", [IsingChain(2, 0.5), "peters", lambda x: zz(x, 1, "circular")])
def test_kernels_are_the_same_with_both_simulators(kind, own):
    X, Y = RNG.normal(size=(12, 6)), RNG.normal(size=(5, 6))
    chains, dense_ = (kind(own, bandwidth=0.7, simulator=simulator) for simulator in ("mps", "statevector"))
    np.testing.assert_allclose(chains(X), dense_(X), atol=1e-10)
    np.testing.assert_allclose(chains(X, Y), dense_(X, Y), atol=1e-10)


def test_shots_and_medians_come_from_chains_too():
    X = RNG.normal(size=(10, 40))
    exact, noisy = FidelityKernel(bandwidth=0.05)(X), FidelityKernel(bandwidth=0.05, shots=10**6)(X)
    assert 0 < abs(exact - noisy).max() < 5e-3
    bandwidth = resolved_kernel(FidelityKernel(bandwidth="median"), X).bandwidth
    values = FidelityKernel(bandwidth=bandwidth)(X)[np.triu_indices(10, 1)]
    np.testing.assert_allclose(np.median(values), 0.5, atol=0.01)


def test_the_cheaper_simulator_is_chosen():
    assert [FidelityKernel().chosen_simulator(n) for n in (2, 10, 14, 16, 27, 200)] == ["statevector"] * 3 + ["mps"] * 3
    full = FidelityKernel(entanglement="full")
    assert [full.chosen_simulator(n) for n in (16, 26, 27)] == ["statevector"] * 2 + ["mps"]
    assert FidelityKernel(simulator="mps").chosen_simulator(2) == "mps"


def test_kernels_state_the_bound_of_their_error():
    X = RNG.uniform(0, 2, size=(15, 12))
    kernel = FidelityKernel(IsingChain(2, 0.8), reps=3, bandwidth=1.0, simulator="mps", tolerance=1e-3)
    exact = FidelityKernel(IsingChain(2, 0.8), reps=3, bandwidth=1.0, simulator="statevector")
    assert 1e-12 < abs(kernel(X) - exact(X)).max() <= kernel.error_bound(X)
    assert 0 < kernel.error_bound(X[:3], X[3:]) < 0.1
    assert exact.error_bound(X) == 0


def test_projected_shots_of_chains_are_refused():
    with pytest.raises(ValueError, match="drawn from statevectors only, here are 40 qubits"):
        ProjectedKernel(shots=100)(np.zeros((2, 40)))


# --- bad input ----------------------------------------------------------------------------------


def test_entanglement_of_all_with_all_is_refused():
    gates = zz(list(RNG.normal(size=(60, 1000))), 1, "full")
    with pytest.raises(BondDimensionError, match=r"more than max_bond = 64; .* up to 1073741824 .*linear"):
        matrix_product_states(gates, 60, 1000)


def test_bad_requests():
    x = list(RNG.normal(size=(4, 3)))
    with pytest.raises(ValueError, match="not finite"):
        matrix_product_states(zz([np.array([0.1, np.nan, 0.2]), *x[1:]]), 4, 3)
    with pytest.raises(ValueError, match="shape"):
        matrix_product_states(zz(x), 4, 2)
    with pytest.raises(ValueError, match="acts on wires"):
        matrix_product_states(zz(x), 3, 3)
    with pytest.raises(ValueError, match="tolerance"):
        matrix_product_states(zz(x), 4, 3, tolerance=-1.0)
    with pytest.raises(ValueError, match="max_bond"):
        matrix_product_states(zz(x), 4, 3, max_bond=0)
    four, three = matrix_product_states(zz(x), 4, 3), matrix_product_states(zz(x[:3]), 3, 3)
    with pytest.raises(CircuitSizeError, match="4 and of 3 qubits"):
        fidelities(four, three)
    with pytest.raises(CircuitSizeError, match=r"\[3, 4\] qubits"):
        join([four, three])


def test_too_many_states_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr("qperov.quantum.simulation.mps.physical_memory", lambda: 2**20)
    with pytest.raises(CircuitSizeError, match=r"10000 matrix product states of 40 qubits and bond dimension 4"):
        matrix_product_states(zz(list(RNG.normal(size=(40, 10000)))), 40, 10000)
