"""Plans made from kernels and autoencoders: compiled for a backend, priced, and refused if they cost too much."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from qperov_circuits import Gate

from qperov.errors import HardwareError
from qperov.hardware.plan import cost as costs
from qperov.hardware.plan.compile import (
    check_fractional_gates,
    compile_measurement,
    digest,
    ordered_bindings,
    readout_circuit,
    to_text,
)
from qperov.hardware.plan.cost import Cost
from qperov.hardware.plan.measurement import (
    Circuit,
    Measurement,
    autoencoder_measurement,
    bloch_measurement,
    fidelity_measurement,
)
from qperov.hardware.plan.pairs import Pairs
from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
from qperov.hardware.plan.prediction import predict
from qperov.hardware.plan.prices import known_price
from qperov.hardware.services.sampler import has_client_side_sampler, payload_bytes
from qperov.hardware.services.service import Service

if TYPE_CHECKING:
    from qiskit.providers import BackendV2

DEFAULTS = Settings()

#: From the hash of what is to be measured to a plan of it that was made before, if there is one.
FindPlan: TypeAlias = Callable[[str], Plan | None]


def plan_fidelities(
    circuit: Circuit,
    samples: ArrayLike,
    pairs: Pairs,
    service: Service,
    backend: BackendSpec,
    settings: Settings = DEFAULTS,
    find_plan: FindPlan | None = None,
) -> Plan:
    """Plan the fidelities of pairs of samples.

    Parameters
    ----------
    circuit : callable
        From a list of n_features angles to gates.
    samples : array of shape (n_samples, n_features)
        Scaled features; for a rectangular matrix or a list those of the rows, then those of the columns.
    pairs : Pairs
    service : Service
        That will run it; it is asked for its backend only.
    backend : BackendSpec
    settings : Settings
    find_plan : callable or None
        Finds an earlier plan, which is then not compiled anew and keeps its jobs, also if the backend was calibrated
        meanwhile: `qperov.hardware.jobs.ledger.Ledger.find_plan`.

    Raises
    ------
    BudgetError
        It costs more than ``settings.budget_seconds``.
    HardwareError
        It does not fit the backend.
    ValueError
        Samples that are not finite, or no pair at all.
    """
    x = np.asarray(samples, dtype=np.float64)
    if len(pairs.first) == 0:
        raise ValueError("there is no pair to measure: give at least two samples")
    measurement = fidelity_measurement(circuit, x[pairs.first], x[pairs.second])
    return _plan(measurement, service, backend, settings, len(pairs.first), len(x), pairs, find_plan)


def plan_bloch(
    circuit: Circuit,
    samples: ArrayLike,
    service: Service,
    backend: BackendSpec,
    settings: Settings = DEFAULTS,
    pairs: Pairs | None = None,
    find_plan: FindPlan | None = None,
) -> Plan:
    """Plan the Bloch vectors of samples, in three bases; arguments and exceptions as for `plan_fidelities`.

    ``pairs`` only tell which matrix is to be made of them.
    """
    measurement = bloch_measurement(circuit, samples)
    n_samples = len(measurement.bindings) // 3
    return _plan(measurement, service, backend, settings, n_samples, n_samples, pairs, find_plan)


def plan_autoencoder(
    encoder: Iterable[Gate],
    vectors: ArrayLike,
    code_qubits: int,
    service: Service,
    backend: BackendSpec,
    settings: Settings = DEFAULTS,
) -> Plan:
    """Plan the loss and the code of an encoder on samples, one PUB a job; exceptions as for `plan_fidelities`.

    Parameters
    ----------
    encoder : iterable of Gate
        Of fixed angles; the first wires are the trash, the last ``code_qubits`` the code.
    vectors : array of shape (n_samples, 2**n_qubits)
    code_qubits : int
    service, backend, settings
    """
    measurement = autoencoder_measurement(encoder, vectors)
    if not 1 <= code_qubits < measurement.n_qubits:
        raise ValueError(f"a code takes 1 to {measurement.n_qubits - 1} qubits, got {code_qubits}")
    n_samples = len(measurement.bindings)
    return replace(_plan(measurement, service, backend, settings, n_samples, n_samples, None), code_qubits=code_qubits)


def _plan(
    measurement: Measurement,
    service: Service,
    backend: BackendSpec,
    settings: Settings,
    n_pairs: int,
    n_samples: int,
    pairs: Pairs | None,
    find_plan: FindPlan | None = None,
) -> Plan:
    content = _content(measurement, backend, settings)
    earlier = None if find_plan is None else find_plan(content)
    if earlier is not None:
        found = replace(
            earlier,
            pairs=pairs,
            n_samples=n_samples,
            samples=None,
            budget_seconds=settings.budget_seconds,
            price=settings.price or earlier.price,
            budget=settings.budget,
        )
        found.check_budget()
        return found
    qiskit_backend = service.backend(measurement.n_qubits)
    options = settings.options
    main = compile_measurement(measurement, qiskit_backend, options)
    neighbours = options.readout_mitigation == "neighbours"
    readout = to_text(readout_circuit(main, qiskit_backend, neighbours)) if options.readout_mitigation else None
    bindings = ordered_bindings(measurement, main.order)
    if backend.fractional_gates:
        check_fractional_gates(main.circuit, bindings)
        if options.twirl_gates and not has_client_side_sampler():
            raise HardwareError(
                "fractional gates with twirling take qiskit-ibm-runtime 0.47 or later: upgrade it, or --no-twirling"
            )
    plan = Plan(
        kind=measurement.kind,
        backend=backend,
        calibrated=_calibrated(qiskit_backend),
        pairs=pairs,
        n_samples=n_samples,
        n_qubits=measurement.n_qubits,
        code_qubits=0,
        circuit=to_text(main.circuit),
        readout=readout,
        circuit_hash=main.digest(),
        order=main.order,
        qubits=main.qubits,
        bindings=bindings,
        shots=settings.shots,
        options=options,
        depth=main.depth,
        two_qubit_gates=main.two_qubit_gates,
        expected_fidelity=main.expected_fidelity,
        cost=Cost(n_pairs, 0, 0, 0, 0, 0.0),
        budget_seconds=settings.budget_seconds,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        content=content,
        label=settings.label,
        prediction=predict(main.circuit, main.qubits, bindings, qiskit_backend),
        price=settings.price or known_price(qiskit_backend) if backend.service else None,
        budget=settings.budget,
    )
    limit = qiskit_backend.max_circuits if backend.service else None
    if limit is not None and limit <= plan.extra:
        raise HardwareError(f"{backend.name} takes {limit} circuits a job, {plan.extra + 1} are needed at least")
    plan = replace(plan, max_bindings=None if limit is None else limit - plan.extra)
    jobs = len(plan.chunks)
    executions = (len(bindings) + plan.extra * jobs) * settings.shots
    # for how long other services run is not known
    seconds = 0.0 if backend.service else costs.qpu_seconds(executions, jobs)
    plan = replace(plan, cost=Cost(n_pairs, jobs * (2 if readout else 1), jobs, executions, 0, seconds))
    plan.check_budget()
    if backend.service:
        return plan
    sizes = [payload_bytes(plan.request(number), qiskit_backend) for number in range(jobs)]
    if max(sizes) > costs.MAX_PAYLOAD_BYTES:
        raise HardwareError(
            f"a job would send {max(sizes) / 1e6:.0f} MB, the limit is {costs.MAX_PAYLOAD_BYTES / 1e6:.0f} MB"
        )
    return replace(plan, cost=replace(plan.cost, payload_bytes=sum(sizes)))


def _content(measurement: Measurement, backend: BackendSpec, settings: Settings) -> str:
    what = (measurement.kind, digest(measurement.circuit), measurement.names, measurement.bindings.shape)
    # written as version 0.1 did: ledgers find by it what was measured, and paid, before
    where = f"Target({', '.join(f'{name}={value!r}' for name, value in backend.as_dict().items())})"
    how = f"({where}, {settings.shots!r}, {settings.options!r}, {settings.label!r})"
    found = blake2b(f"({what!r}, {how})".encode(), digest_size=16)
    found.update(np.ascontiguousarray(measurement.bindings).tobytes())
    return found.hexdigest()


def _calibrated(qiskit_backend: BackendV2) -> str | None:
    """Time of the backend's last calibration, as ISO 8601."""
    properties = getattr(qiskit_backend, "properties", None)
    found = getattr(properties() if callable(properties) else None, "last_update_date", None)
    return None if found is None else found.isoformat()
