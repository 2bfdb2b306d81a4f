"""A server on this machine that answers as IonQ's public API v0.4 is documented to, with an ideal simulator behind it.

    python tests/ionq_server.py

prints its address and answers until it is stopped. Documented at https://docs.ionq.com/api-reference/v0.4 (of April
2026): ``POST /jobs`` with ``ionq.circuit.v1`` or ``ionq.multi-circuit.v1``, ``GET /jobs/{id}``, results behind the URL
that the job names, ``PUT /jobs/{id}/status/cancel``, ``GET /backends/{name}``; keys in the header ``Authorization``.
Outcomes are whole numbers whose bit 0 is qubit 0.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import numpy as np

VERSION = "/v0.4"
KEY = "a-key-of-nobody"

X, Y, Z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
PAULIS = {"x": X, "y": Y, "z": Z}
FIXED = {
    **PAULIS,
    "not": X,
    "cnot": X,
    "h": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    **{name: np.diag([1, np.exp(1j * angle)]) for name, angle in (("s", np.pi / 2), ("t", np.pi / 4))},
    **{name: np.diag([1, np.exp(-1j * angle)]) for name, angle in (("si", np.pi / 2), ("ti", np.pi / 4))},
    "v": np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2,
    "vi": np.array([[1 - 1j, 1 + 1j], [1 + 1j, 1 - 1j]]) / 2,
}


def turn(pauli: np.ndarray, angle: float) -> np.ndarray:
    """exp(−i angle P / 2)."""
    return np.cos(angle / 2) * np.eye(len(pauli)) - 1j * np.sin(angle / 2) * pauli


def matrix(gate: dict[str, Any]) -> np.ndarray:
    """Of a gate of the set "qis" on its targets."""
    name, angle = gate["gate"], gate.get("rotation")
    if name in ("rx", "ry", "rz"):
        return turn(PAULIS[name[1]], angle)
    if name in ("xx", "yy", "zz"):
        return turn(np.kron(PAULIS[name[0]], PAULIS[name[0]]), angle)
    if name == "z" and angle is not None:
        return np.diag([1, np.exp(1j * angle)])
    if name == "swap":
        return np.eye(4)[[0, 2, 1, 3]]
    return FIXED[name]


def listed(gate: dict[str, Any], name: str) -> list[int]:
    """Qubits under ``targets`` or ``target``, ``controls`` or ``control``."""
    return list(gate.get(f"{name}s", [gate[name]] if name in gate else []))


def probabilities(circuit: list[dict[str, Any]], n_qubits: int) -> dict[str, float]:
    """Chances of outcomes, those that are 0 left out."""
    psi = np.zeros((2,) * n_qubits, complex)
    psi[(0,) * n_qubits] = 1
    for gate in circuit:
        targets, controls = listed(gate, "target"), listed(gate, "control")
        U = matrix(gate).reshape((2,) * 2 * len(targets))
        chosen = tuple(1 if qubit in controls else slice(None) for qubit in range(n_qubits))
        axes = [target - sum(control < target for control in controls) for target in targets]
        part = np.tensordot(U, psi[chosen], (range(len(targets), 2 * len(targets)), axes))
        psi[chosen] = np.moveaxis(part, range(len(targets)), axes)
    chances = np.abs(psi.transpose(range(n_qubits)[::-1])).ravel() ** 2
    return {str(outcome): float(chance) for outcome, chance in enumerate(chances) if chance > 1e-12}


class Cloud(BaseHTTPRequestHandler):
    """The API; jobs live as long as the server."""

    jobs: dict[str, dict[str, Any]]

    def do_POST(self) -> None:
        """Take a job."""
        if not self._known() or self.path != f"{VERSION}/jobs":
            return
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content, kind = asked["input"], asked["type"]
        if kind not in ("ionq.circuit.v1", "ionq.multi-circuit.v1") or content.get("gateset", "qis") != "qis":
            self._answer(400, {"statusCode": 400, "error": "Bad Request", "message": f"{kind} is not taken here"})
            return
        found = [one["circuit"] for one in content["circuits"]] if "circuits" in content else [content["circuit"]]
        results = {str(uuid4()): probabilities(circuit, content["qubits"]) for circuit in found}
        job_id = str(uuid4())
        several = kind == "ionq.multi-circuit.v1"
        results_url = f"{VERSION}/jobs/{job_id}/results/probabilities" + ("/aggregated" if several else "")
        self.jobs[job_id] = {
            "id": job_id,
            "status": "completed",
            "type": kind,
            "backend": asked["backend"],
            "shots": asked["shots"],
            "metadata": asked.get("metadata", {}),
            "stats": {"qubits": content["qubits"], "circuits": len(found)},
            "child_job_ids": list(results) if several else None,
            "execution_duration_ms": 1,
            "results": {"probabilities": {"url": results_url}},
            "counted": results if several else next(iter(results.values())),
        }
        self._answer(200, {"id": job_id, "status": "ready", "session_id": None})

    def do_GET(self) -> None:
        """Tell of a backend, a job or its results."""
        parts = self.path.partition("?")[0].removeprefix(f"{VERSION}/").split("/")
        if parts[0] == "backends":
            self._answer(200, {"backend": parts[1], "status": "available", "qubits": 29})
        elif self._known():
            job = self.jobs.get(parts[1]) if parts[0] == "jobs" else None
            if job is None:
                self._answer(404, {"statusCode": 404, "error": "Not Found", "message": "no such job"})
            elif parts[2:3] == ["results"]:
                self._answer(200, job["counted"])
            else:
                self._answer(200, {name: value for name, value in job.items() if name != "counted"})

    def do_PUT(self) -> None:
        """Stop a job: all are done."""
        if self._known():
            self._answer(200, {"id": self.path.split("/")[3], "status": "completed"})

    def _known(self) -> bool:
        if self.headers["Authorization"] == f"apiKey {KEY}":
            return True
        self._answer(401, {"statusCode": 401, "error": "Unauthorized", "message": "Invalid key provided"})
        return False

    def _answer(self, status: int, content: Any) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


def started() -> ThreadingHTTPServer:
    """A server of its own in a thread; ``address(server)`` is what a client is given."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Cloud", (Cloud,), {"jobs": {}}))
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def address(server: ThreadingHTTPServer) -> str:
    """URL of the API."""
    return f"http://127.0.0.1:{server.server_address[1]}{VERSION}"


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Cloud", (Cloud,), {"jobs": {}}))
    print(address(server), flush=True)
    server.serve_forever()
