"""The local server that plays IonQ's API: its simulator against Qiskit's, and its answers' form."""

from __future__ import annotations

import numpy as np
import pytest
import requests
from ionq_server import KEY, address, probabilities, started
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

HEADERS = {"Authorization": f"apiKey {KEY}"}
NAMES = {"cx": "x", "cz": "z", "sx": "v", "sxdg": "vi", "sdg": "si", "tdg": "ti", "rxx": "xx", "ryy": "yy", "rzz": "zz"}


def as_json(circuit: QuantumCircuit) -> list[dict]:
    found = []
    for step in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in step.qubits]
        gate: dict = {"gate": NAMES.get(step.operation.name, step.operation.name), "targets": qubits}
        if step.operation.name in ("cx", "cz"):
            gate |= {"controls": qubits[:1], "targets": qubits[1:]}
        if step.operation.params:
            gate["rotation"] = step.operation.params[0]
        found.append(gate)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_outcomes_are_those_of_qiskit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(4)
    for _ in range(40):
        a, b = rng.permutation(4)[:2]
        name = rng.choice(["h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "sxdg"])
        getattr(circuit, name)(a)
        getattr(circuit, rng.choice(["rx", "ry", "rz"]))(rng.uniform(-3, 3), a)
        getattr(circuit, rng.choice(["cx", "cz", "swap"]))(a, b)
        getattr(circuit, rng.choice(["rxx", "ryy", "rzz"]))(rng.uniform(-3, 3), a, b)
    found = probabilities(as_json(circuit), 4)
    exact = Statevector(circuit).probabilities()
    np.testing.assert_allclose([found.get(str(outcome), 0.0) for outcome in range(16)], exact, atol=1e-12)


def test_jobs_of_one_and_of_several_circuits() -> None:
    server = started()
    url = address(server)
    try:
        flip = [{"gate": "x", "target": 1}]
        body = {"type": "ionq.circuit.v1", "backend": "simulator", "shots": 100}
        one = requests.post(
            f"{url}/jobs", json=body | {"input": {"qubits": 2, "circuit": flip}}, headers=HEADERS, timeout=5
        )
        job = requests.get(f"{url}/jobs/{one.json()['id']}", headers=HEADERS, timeout=5).json()
        assert (job["status"], job["stats"]) == ("completed", {"qubits": 2, "circuits": 1})
        where = url.removesuffix("/v0.4") + job["results"]["probabilities"]["url"]
        assert requests.get(where, headers=HEADERS, timeout=5).json() == {"2": 1.0}
        several = body | {"type": "ionq.multi-circuit.v1"}
        content = {"qubits": 2, "circuits": [{"circuit": flip}, {"circuit": []}]}
        answer = requests.post(f"{url}/jobs", json=several | {"input": content}, headers=HEADERS, timeout=5).json()
        job = requests.get(f"{url}/jobs/{answer['id']}", headers=HEADERS, timeout=5).json()
        where = url.removesuffix("/v0.4") + job["results"]["probabilities"]["url"]
        found = requests.get(where, headers=HEADERS, timeout=5).json()
        assert list(found) == job["child_job_ids"]
        assert list(found.values()) == [{"2": 1.0}, {"0": 1.0}]
        assert requests.get(f"{url}/jobs/none", headers=HEADERS, timeout=5).status_code == 404
        assert requests.get(f"{url}/jobs/none", headers={"Authorization": "apiKey no"}, timeout=5).status_code == 401
        qasm = body | {"type": "ionq.qasm3.v1", "input": {}}
        assert requests.post(f"{url}/jobs", json=qasm, headers=HEADERS, timeout=5).status_code == 400
    finally:
        server.shutdown()
        server.server_close()
