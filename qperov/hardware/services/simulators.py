"""Backends that are simulated here: an ideal one, one with depolarising noise, and IBM's by their snapshots."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from qperov.errors import HardwareError
from qperov.hardware.plan.compile import from_text, to_text
from qperov.hardware.services.sampler import has_client_side_sampler, outcomes, run_sampler
from qperov.hardware.services.service import Request

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.providers import BackendV2

#: The ideal backend's gates, and those of the one with noise.
IDEAL_GATES = ("h", "x", "rx", "ry", "rz", "p", "cx", "cz", "rxx", "ryy", "rzz")
NOISY_GATES = ("rz", "sx", "x", "cx")

#: Errors of one-qubit gates as a share of those of two-qubit gates and of the readout.
ONE_QUBIT_SHARE = 0.1

#: Qubits up to which all amplitudes are simulated; of more, stabilisers or matrix product states.
STATEVECTOR_QUBITS = 24

#: Decimal places to which the local testing mode rounds angles, in units of π/2; its own default loses kernel digits.
ANGLE_DECIMALS = 12


def is_simulator(name: str) -> bool:
    """Whether a backend of that name is simulated here."""
    return name == "aer" or name.startswith("fake_")


def simulator_backend(name: str, n_qubits: int, noise: float | None = None) -> BackendV2:
    """The backend that circuits are compiled for.

    Parameters
    ----------
    name : str
        "aer" for one whose qubits are all connected, "fake_…" for a snapshot of one of IBM's.
    n_qubits : int
        Qubits of "aer".
    noise : float or None
        Of "aer": chance p that a two-qubit gate leaves its qubits fully mixed, or a qubit is misread; p/10 for
        one-qubit gates but rz.

    Raises
    ------
    HardwareError
        There is no such simulator.
    """
    if name == "aer":
        return _all_connected(n_qubits, noise)
    if noise is not None:
        raise HardwareError(f"{name} brings its own noise: noise is for 'aer'")
    from qiskit_ibm_runtime import fake_provider

    wanted = "".join(part.capitalize() for part in name.split("_"))
    for known in (wanted, f"{wanted}V2"):
        if hasattr(fake_provider, known):
            return getattr(fake_provider, known)()
    raise HardwareError(f"there is no simulator {name!r}: use aer, fake_fez, fake_manila, …")


def simulate(backend: BackendV2, request: Request, seed: int | None) -> list[np.ndarray]:
    """Outcomes of a request, by the local testing mode of qiskit-ibm-runtime on Aer.

    Only the qubits that the circuits touch are simulated, with the noise of just these; to prepare the noise of all
    156 qubits of FakeFez would take longer than to run a kernel.
    """
    circuits = [from_text(text) for text in (request.circuit, request.readout) if text is not None]
    is_clifford = len(circuits[0].qubits) > STATEVECTOR_QUBITS and _is_clifford(circuits[0], request.bindings)
    if not is_clifford:
        circuits = [_with_delays(circuit, backend) for circuit in circuits]
    touched = sorted({c.find_bit(q).index for c in circuits for i in c.data for q in i.qubits if _acts(i)})
    small = [to_text(_on_few(circuit, touched)) for circuit in circuits]
    aer = _aer(backend, touched, is_clifford)
    few = Request(
        request.tag,
        small[0],
        small[1] if len(small) > 1 else None,
        request.bindings,
        request.n_qubits,
        request.shots,
        request.options,
    )
    options: dict[str, Any] = {"default_shots": request.shots, "simulator": {}}
    if has_client_side_sampler():
        options["simulator"]["angle_decimals"] = ANGLE_DECIMALS
    if seed is not None:
        options["simulator"]["seed_simulator"] = seed
    return outcomes(run_sampler(aer, few, options).result())


def _with_delays(circuit: QuantumCircuit, backend: BackendV2) -> QuantumCircuit:
    """The circuit with delays where its qubits are idle, each gate as late as it can be; none without durations."""
    from qiskit.transpiler import PassManager
    from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDelay

    if backend.target.dt is None:
        return circuit
    passes = [ALAPScheduleAnalysis(target=backend.target), PadDelay(target=backend.target)]
    return PassManager(passes).run(circuit)


def _acts(instruction: Any) -> bool:
    return instruction.operation.name not in ("barrier", "delay")


def _on_few(circuit: QuantumCircuit, touched: list[int]) -> QuantumCircuit:
    """The same circuit on its own qubits alone."""
    from qiskit import QuantumCircuit

    place = {qubit: number for number, qubit in enumerate(touched)}
    few = QuantumCircuit(len(touched))
    for register in circuit.cregs:
        few.add_register(register)
    for instruction in circuit.data:
        qubits = [place[i] for i in (circuit.find_bit(q).index for q in instruction.qubits) if i in place]
        if instruction.operation.name == "barrier":
            few.barrier(qubits)
        elif qubits:
            few.append(instruction.operation, qubits, list(instruction.clbits))
    return few


def _aer(backend: BackendV2, touched: list[int], is_clifford: bool) -> Any:
    """Aer with the noise of some of a backend's qubits, renumbered from 0."""
    from qiskit_aer import AerSimulator

    if len(touched) > STATEVECTOR_QUBITS:
        method = "stabilizer" if is_clifford else "matrix_product_state"
        return AerSimulator(noise_model=_pauli_noise(backend, touched), method=method)
    model = _noise_model(backend, touched)
    if model is None:
        return AerSimulator()
    return AerSimulator(noise_model=model, method="density_matrix" if len(touched) <= 10 else "automatic")


def _noise_model(backend: BackendV2, touched: list[int]) -> Any:
    from qiskit_aer.noise import NoiseModel

    if backend.name == "aer":
        return _depolarising(backend.noise)
    return NoiseModel.from_backend(_part(backend, touched))


def _pauli_noise(backend: BackendV2, touched: list[int]) -> Any:
    """Depolarising errors of a backend's gates and symmetric ones of its readout; None if it has none."""
    from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

    part = _part(backend, touched).target
    model = NoiseModel(basis_gates=[name for name in part.operation_names if name != "measure"])
    for name in part.operation_names:
        for qubits, known in (part[name] or {}).items():
            error = getattr(known, "error", None)
            if not error or qubits is None:
                continue
            if name == "measure":
                model.add_readout_error(ReadoutError([[1 - error, error], [error, 1 - error]]), qubits)
            else:
                size = 2 ** len(qubits)
                strength = min(1.0, error * size / (size - 1))
                model.add_quantum_error(depolarizing_error(strength, len(qubits)), name, qubits)
    return None if model.is_ideal() else model


def _is_clifford(circuit: QuantumCircuit, bindings: np.ndarray) -> bool:
    """Whether all angles are multiples of π/2, in the gates that Aer's stabilizer method takes."""
    for row in bindings:
        for step in circuit.assign_parameters(row).data:
            turns = [float(value) / (np.pi / 2) for value in step.operation.params if step.operation.name != "delay"]
            if any(abs(turn - round(turn)) > 1e-9 for turn in turns):
                return False
    return True


def _depolarising(noise: float | None) -> Any:
    from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

    if noise is None:
        return None
    model = NoiseModel(basis_gates=list(NOISY_GATES))
    model.add_all_qubit_quantum_error(depolarizing_error(noise, 2), ["cx"])
    model.add_all_qubit_quantum_error(depolarizing_error(ONE_QUBIT_SHARE * noise, 1), ["sx", "x"])
    model.add_all_qubit_readout_error(ReadoutError([[1 - noise, noise], [noise, 1 - noise]]))
    return model


def _part(backend: BackendV2, touched: list[int]) -> BackendV2:
    """A backend of some of another one's qubits."""
    from qiskit.transpiler import Target

    whole = backend.target
    place = {qubit: number for number, qubit in enumerate(touched)}
    properties = None if whole.qubit_properties is None else [whole.qubit_properties[q] for q in touched]
    part = Target(num_qubits=len(touched), dt=whole.dt, qubit_properties=properties)
    for name in whole.operation_names:
        kept = {
            tuple(place[q] for q in qubits): values
            for qubits, values in (whole[name] or {}).items()
            if qubits is not None and all(q in place for q in qubits)
        }
        if kept:
            part.add_instruction(whole.operation_from_name(name), kept, name=name)
    return _backend(f"part_of_{backend.name}", part)


def _all_connected(n_qubits: int, noise: float | None) -> BackendV2:
    from qiskit.transpiler import InstructionProperties, Target

    if noise is not None and not 0 <= noise < 1:
        raise HardwareError(f"noise is a chance below 1, got {noise}")
    plain = Target.from_configuration(
        [*(IDEAL_GATES if noise is None else NOISY_GATES), "measure"], num_qubits=n_qubits
    )
    if noise is None:
        return _backend("aer", plain, noise)
    target = Target(num_qubits=n_qubits)
    # a depolarising error p of n qubits has the average gate infidelity p (2ⁿ − 1) / 2ⁿ
    infidelity = {"rz": 0.0, "sx": noise * ONE_QUBIT_SHARE / 2, "x": noise * ONE_QUBIT_SHARE / 2}
    infidelity |= {"cx": 0.75 * noise, "measure": noise}
    for name, error in infidelity.items():
        places = permutations(range(n_qubits), 2 if name == "cx" else 1)
        properties = {place: InstructionProperties(error=error) for place in places}
        target.add_instruction(plain.operation_from_name(name), properties, name=name)
    return _backend("aer", target, noise)


def _backend(name: str, target: Any, noise: float | None = None) -> BackendV2:
    """A backend that is its target and nothing else."""
    from qiskit.providers import BackendV2, Options

    class Simulated(BackendV2):
        def __init__(self) -> None:
            super().__init__(name=name)
            self.noise = noise

        @property
        def target(self) -> Any:
            return target

        @property
        def max_circuits(self) -> None:
            return None

        @classmethod
        def _default_options(cls) -> Options:
            return Options()

        def run(self, run_input: Any, **options: Any) -> None:
            raise NotImplementedError("circuits are compiled for it, and run by Aer")

    return Simulated()
