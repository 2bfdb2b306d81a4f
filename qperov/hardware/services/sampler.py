"""Qiskit's Sampler, of whatever release: the only place where circuits are handed to a backend."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import Any

import numpy as np

from qperov.errors import HardwareError
from qperov.hardware.plan.compile import from_text, readout_bindings
from qperov.hardware.plan.measurement import REGISTER
from qperov.hardware.plan.options import Options
from qperov.hardware.services.service import Request

#: Where the client-side Sampler lives, in releases of qiskit-ibm-runtime that have it.
CLIENT_SIDE = "qiskit_ibm_runtime.executor_sampler"


def has_client_side_sampler() -> bool:
    """Whether this release of qiskit-ibm-runtime has the Sampler that replaces SamplerV2."""
    return find_spec(CLIENT_SIDE) is not None


def run_sampler(mode: Any, request: Request, options: dict[str, Any], dry_run: bool = False) -> Any:
    """The job of qiskit-ibm-runtime that runs a request: one PUB, and a small one for the readout if it is asked for.

    Parameters
    ----------
    mode : BackendV2, Batch or Session
    request : Request
    options : dict
        Of the Sampler.
    dry_run : bool
        Let the service check and time it without a machine.

    Raises
    ------
    HardwareError
        A dry run that this release does not have.
    """
    module, name = (CLIENT_SIDE, "Sampler") if has_client_side_sampler() else ("qiskit_ibm_runtime", "SamplerV2")
    sampler = getattr(import_module(module), name)(mode=mode, options=options)
    if not dry_run:
        return sampler.run(pubs(request), shots=request.shots)
    if "dry_run" not in signature(sampler.run).parameters:
        raise HardwareError("a dry run takes qiskit-ibm-runtime 0.50 or later: pip install -U qiskit-ibm-runtime")
    return sampler.run(pubs(request), shots=request.shots, dry_run=True)


def pubs(request: Request) -> list[tuple[Any, np.ndarray]]:
    """The circuits of a request with their bindings."""
    found = [(from_text(request.circuit), request.bindings)]
    if request.readout is not None:
        found.append((from_text(request.readout), readout_bindings(Options.from_dict(request.options))))
    return found


def outcomes(result: Any) -> list[np.ndarray]:
    """Outcomes of each PUB, shape (n_bindings, shots, n_bytes), from what a job of qiskit-ibm-runtime gave."""
    return [getattr(pub.data, REGISTER).array for pub in result]


def remote_options(request: Request) -> dict[str, Any]:
    """The Sampler's options for a real backend."""
    chosen = Options.from_dict(request.options)
    options: dict[str, Any] = {
        "default_shots": request.shots,
        "dynamical_decoupling": {"enable": chosen.dynamical_decoupling is not None},
        "twirling": {"enable_gates": chosen.twirl_gates, "enable_measure": chosen.twirl_measurement},
        "environment": {"job_tags": [request.tag]},
    }
    if chosen.dynamical_decoupling is not None:
        options["dynamical_decoupling"]["sequence_type"] = chosen.dynamical_decoupling
    if request.seconds is not None:
        options["max_execution_time"] = request.seconds
    return options


def payload_bytes(request: Request, backend: Any) -> int:
    """Size of a request on the wire, measured by encoding it as the client library does."""
    import json

    from qiskit.primitives.containers.sampler_pub import SamplerPub

    encoder = _encoder()
    coerced = [SamplerPub.coerce(pub, request.shots) for pub in pubs(request)]
    chosen = remote_options(request)
    if backend.name == "aer":
        # its gates are not those of a real backend, and cannot be twirled or scheduled
        chosen = {"default_shots": request.shots}
    if not has_client_side_sampler():
        return len(json.dumps({"pubs": coerced, "options": chosen}, cls=encoder))
    from qiskit_ibm_runtime.executor import Executor
    from qiskit_ibm_runtime.executor_sampler.prepare import prepare
    from qiskit_ibm_runtime.options_models.sampler import SamplerOptions
    from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS

    options = SamplerOptions(**chosen)
    program, executor_options = prepare(coerced, options, request.shots, backend=backend)
    converter = QUANTUM_PROGRAM_PARAMS_CONVERTERS[Executor._SCHEMA_VERSION]
    return len(json.dumps(converter.encoder(program, executor_options).model_dump(mode="json"), cls=encoder))


def _encoder() -> Any:
    """The JSON encoder of qiskit-ibm-runtime, which moved between releases."""
    for module in ("qiskit_ibm_runtime.json", "qiskit_ibm_runtime.utils.json"):
        try:
            return import_module(module).RuntimeEncoder
        except (ImportError, AttributeError):
            continue
    raise ImportError("this release of qiskit-ibm-runtime has no RuntimeEncoder")
