"""A plan as a file: JSON, numbers to read first, arrays as an npz archive in base 64."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from qperov.errors import HardwareError
from qperov.hardware.plan.cost import Cost
from qperov.hardware.plan.options import Options
from qperov.hardware.plan.pairs import Pairs
from qperov.hardware.plan.plan import BackendSpec, Plan
from qperov.hardware.plan.prediction import Prediction
from qperov.hardware.plan.prices import Budget, Price
from qperov.hardware.plan.samples import Samples
from qperov.storage.atomic import write_text

#: Version of the file; 2 was that of qperov 0.1.
VERSION = 3


def to_json(plan: Plan) -> str:
    """The plan as text."""
    arrays: dict[str, Any] = {"bindings": plan.bindings}
    if plan.pairs is not None:
        arrays |= {name: getattr(plan.pairs, name) for name in ("first", "second", "landmarks")}
    if plan.samples is not None:
        found = {name: getattr(plan.samples, name) for name in ("features", "labels")}
        arrays |= {name: array for name, array in found.items() if array is not None}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    document = {"version": VERSION, "plan_id": plan.plan_id}
    document |= {name: value for name, value in vars(plan).items() if name != "bindings"}
    document |= {
        "backend": asdict(plan.backend),
        "options": plan.options.as_dict(),
        "cost": asdict(plan.cost),
        "pairs": None if plan.pairs is None else {"form": plan.pairs.form, "shape": plan.pairs.shape},
        "samples": None if plan.samples is None else plan.samples.as_dict(),
        "prediction": None if plan.prediction is None else asdict(plan.prediction),
        "price": None if plan.price is None else asdict(plan.price),
        "budget": asdict(plan.budget),
        "arrays": base64.b64encode(stream.getvalue()).decode(),
    }
    return json.dumps(document | {"checksum": _checksum(document)}, indent=1)


def from_json(text: str) -> Plan:
    """What `to_json` wrote, or version 0.1 of qperov.

    Raises
    ------
    HardwareError
        It is no plan, of a newer version, or was changed since.
    """
    try:
        document = json.loads(text)
        version = document["version"]
        if version not in (2, VERSION):
            raise HardwareError(
                f"the plan is of version {version}, this qperov reads 2 and {VERSION}: upgrade qperov, or plan again"
            )
        if document.pop("checksum") != _checksum(document):
            raise HardwareError("the plan was changed after it was made: make it again")
        del document["version"]
        plan_id = document.pop("plan_id")
        with np.load(io.BytesIO(base64.b64decode(document.pop("arrays"))), allow_pickle=False) as found:
            arrays = dict(found)
        if version == 2:
            ids = [str(row) for row in range(document["n_samples"])]
            document |= {"backend": document.pop("target"), "samples": {"ids": ids}}
        plan = Plan(
            **document
            | {
                "backend": BackendSpec(**document["backend"]),
                "options": Options.from_dict(document["options"]),
                "cost": Cost(**document["cost"]),
                "order": tuple(document["order"]),
                "qubits": tuple(document["qubits"]),
                "pairs": _pairs(document["pairs"], arrays),
                "samples": _samples(document["samples"], arrays),
                "prediction": _prediction(document.get("prediction")),
                "price": Price(**document["price"]) if document.get("price") else None,
                "budget": Budget(**document.get("budget", {})),
                "bindings": arrays["bindings"],
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HardwareError(f"this is no plan of `qperov hardware plan` ({type(error).__name__}: {error})") from None
    if plan.plan_id != plan_id:
        # jobs are recorded and tagged by it
        raise HardwareError("this version of qperov would number the plan or cut its jobs otherwise: make it again")
    return plan


def write_plan(plan: Plan, path: str | Path) -> None:
    """Write the plan file."""
    write_text(path, to_json(plan))


def read_plan(path: str | Path) -> Plan:
    """The plan of a file.

    Raises
    ------
    HardwareError
        The file cannot be read, or is no plan.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HardwareError(f"the plan {path} cannot be read: {error}") from None
    return from_json(text)


def _pairs(described: dict[str, Any] | None, arrays: dict[str, np.ndarray]) -> Pairs | None:
    if described is None:
        return None
    places = (arrays[name] for name in ("first", "second", "landmarks"))
    return Pairs(described["form"], tuple(described["shape"]), *places)


def _samples(described: dict[str, Any] | None, arrays: dict[str, np.ndarray]) -> Samples | None:
    if described is None:
        return None
    lists = {name: tuple(described.get(name, ())) for name in ("ids", "steps")}
    return Samples(**described | lists, features=arrays.get("features"), labels=arrays.get("labels"))


def _prediction(described: dict[str, Any] | None) -> Prediction | None:
    if described is None:
        return None
    lists = {name: tuple(described[name]) for name in ("contrast", "misread")}
    return Prediction(**described | lists)


def _checksum(document: dict[str, Any]) -> str:
    """Of all that is in a plan's file, prices, budget and circuits too."""
    return blake2b(json.dumps(document, sort_keys=True).encode(), digest_size=16).hexdigest()
