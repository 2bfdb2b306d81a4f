"""What corrections of readout and idle qubits cost and gain, on simulated noise that neighbours share.

    python experiments/mitigation.py

Readout: outcomes of random states of 8 qubits are misread by a process in which neighbours misread each other; they are
corrected qubit by qubit, after twirling (random flips before the measurement, undone after it), and with what
neighbours misread together. Decoupling: a kernel's circuits on the durations of fake Fez, whose idle qubits are
detuned, each time by another amount that stays for the whole circuit.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from qiskit import QuantumCircuit
from qiskit.circuit.library import XGate
from qiskit.quantum_info import Statevector
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDelay, PadDynamicalDecoupling
from scipy.linalg import expm

from qperov.hardware.jobs.counts import Counts, z_expectations, zero_probability
from qperov.hardware.jobs.neighbours import readout_misreading
from qperov.hardware.plan.compile import compile_measurement, ordered_bindings
from qperov.hardware.plan.measurement import fidelity_measurement
from qperov.hardware.plan.options import Options
from qperov.hardware.services.simulators import simulator_backend
from qperov.quantum.kernels.fidelity import FidelityKernel

#: States of the calibration: all zeros and ones; every third qubit in all ways.
TWO, EIGHT = [(0, 0, 0), (1, 1, 1)], list(product((0, 1), repeat=3))


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    n_qubits, n_states, shots : int
        Of the readout.
    misread, shared : float
        Largest chance that a qubit is misread by itself, and rate at which neighbours change together.
    detuning : float
        Standard deviation of the detuning of idle qubits, in kHz.
    realisations : int
        Of the detuning.
    seed : int
    """

    n_qubits: int = 8
    n_states: int = 40
    shots: int = 65536
    misread: float = 0.03
    shared: float = 0.01
    detuning: float = 50.0
    realisations: int = 40
    seed: int = 0


def misreading(task: Task, rng: np.random.Generator) -> np.ndarray:
    """A stochastic matrix of all outcomes, shape (2**n, 2**n)."""
    n = task.n_qubits
    G = np.zeros((2**n, 2**n))
    for wire in range(n):
        up, down = rng.uniform(0, task.misread, 2)
        G += _local(np.array([[-up, down], [up, -down]]), wire, n)
    for wire in range(n - 1):
        rates = rng.uniform(0, task.shared, (4, 4)) * (1 - np.eye(4))
        G += _local(rates - np.diag(rates.sum(axis=0)), wire, n)
    return expm(G)


def readout(task: Task) -> pd.DataFrame:
    """Errors of the all-zero chance and of ⟨Z⟩ after each correction, and what it costs."""
    rng = np.random.default_rng(task.seed)
    n = task.n_qubits
    A = misreading(task, rng)
    # a few outcomes are likely, as in a kernel's circuit
    states = rng.dirichlet(np.full(2**n, 0.02), size=task.n_states)
    signs = 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n)[::-1] & 1)
    masks = np.arange(2**n)
    # twirled: flipped by a random mask before, and flipped back after
    twirled = np.mean([A[np.ix_(masks ^ mask, masks ^ mask)] for mask in rng.permutation(2**n)[:64]], axis=0)
    rows = []
    for name, matrix, prepared in (
        ("none", A, None),
        ("each qubit by itself", A, TWO),
        ("each qubit by itself, twirled", twirled, TWO),
        ("with neighbours", A, EIGHT),
        ("with neighbours, twirled", twirled, EIGHT),
    ):
        measured = _counts(states @ matrix.T, task.shots, rng)
        found = None
        if prepared is not None:
            places = [int("".join(str(row[wire % 3]) for wire in range(n)), 2) for row in prepared]
            found = readout_misreading(_counts(matrix[:, places].T, task.shots, rng))
        zero = zero_probability(measured, misreading=found) - states[:, 0]
        z = z_expectations(measured, misreading=found) - states @ signs
        rows.append(
            {
                "correction": name,
                "circuits a job": 0 if prepared is None else len(prepared),
                "rms error of the all-zero chance": np.sqrt(np.mean(zero**2)),
                "rms error of ⟨Z⟩": np.sqrt(np.mean(z**2)),
            }
        )
    return pd.DataFrame(rows)


def decoupling(task: Task) -> pd.DataFrame:
    """Self-fidelities of a kernel's circuits with idle qubits that are detuned, with pulses and without."""
    rng = np.random.default_rng(task.seed)
    backend = simulator_backend("fake_fez", 6)
    kernel, x = FidelityKernel(bandwidth=0.3), rng.normal(size=(4, 6))
    measurement = fidelity_measurement(kernel.circuit, 0.3 * x, 0.3 * x)
    compiled = compile_measurement(measurement, backend, Options(layout_trials=1))
    bindings = ordered_bindings(measurement, compiled.order)
    schedule = ALAPScheduleAnalysis(target=backend.target)
    pulses = PadDynamicalDecoupling(target=backend.target, dd_sequence=[XGate(), XGate()])
    rates = rng.normal(0, 2 * np.pi * 1e3 * task.detuning, size=(task.realisations, backend.num_qubits))
    rows = []
    for name, padding in (("none", PadDelay(target=backend.target)), ("XX", pulses)):
        circuit = PassManager([schedule, padding]).run(compiled.circuit)
        survived = [
            _zero(circuit.assign_parameters(row), compiled.qubits, rate, backend.target.dt)
            for row in bindings
            for rate in rates
        ]
        added = circuit.count_ops().get("x", 0) - compiled.circuit.count_ops().get("x", 0)
        rows.append({"decoupling": name, "pulses": added, "mean self-fidelity": np.mean(survived)})
    return pd.DataFrame(rows)


def _zero(circuit: QuantumCircuit, qubits: tuple[int, ...], rates: np.ndarray, dt: float) -> float:
    """Chance that all qubits read 0 if they turn about Z while they are idle."""
    place = {qubit: number for number, qubit in enumerate(qubits)}
    found = QuantumCircuit(len(qubits))
    for step in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in step.qubits]
        if step.operation.name in ("measure", "barrier") or not set(where) <= set(place):
            continue
        if step.operation.name == "delay":
            seconds = step.operation.duration * (dt if step.operation.unit == "dt" else 1.0)
            found.rz(rates[where[0]] * seconds, place[where[0]])
        else:
            found.append(step.operation, [place[qubit] for qubit in where])
    return float(abs(Statevector(found).data[0]) ** 2)


def _counts(chances: np.ndarray, shots: int, rng: np.random.Generator) -> Counts:
    """Outcomes drawn from the chances in each row."""
    n = chances.shape[1].bit_length() - 1
    drawn = rng.multinomial(shots, np.clip(chances, 0, None) / np.clip(chances, 0, None).sum(axis=1, keepdims=True))
    bits = (np.arange(2**n)[:, None] >> np.arange(n)[::-1] & 1).astype(bool)
    return Counts(n, np.arange(len(drawn) + 1) * 2**n, np.tile(bits, (len(drawn), 1)), drawn.ravel())


def _local(matrix: np.ndarray, wire: int, n: int) -> np.ndarray:
    width = len(matrix).bit_length() - 1
    return np.kron(np.kron(np.eye(2**wire), matrix), np.eye(2 ** (n - wire - width)))


def main(task: Task) -> None:
    """Print both tables."""
    for table in (readout(task), decoupling(task)):
        print(table.round(4).to_string(index=False), end="\n\n", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, default=Task.shots)
    parser.add_argument("--shared", type=float, default=Task.shared)
    parser.add_argument("--detuning", type=float, default=Task.detuning)
    parser.add_argument("--seed", type=int, default=Task.seed)
    given = parser.parse_args()
    main(Task(shots=given.shots, shared=given.shared, detuning=given.detuning, seed=given.seed))
