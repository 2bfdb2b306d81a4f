"""Folds that are done, kept on disk, so that a comparison that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator

from qperov.storage.atomic import write_text
from qperov.storage.versions import installed_versions

#: Packages that are told by their version, by the names under which they are imported; all others by their code.
PACKAGES = {"numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn", "torch": "torch"}

#: Number of the format of a kept fold: part of its name, so that a file of another format is never found.
FORMAT = 3

Fold = tuple[int, int, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One model on one fold: rows tested, predictions, hyperparameters chosen (None without a search), seconds, what it
    warned of (nothing for a search, which tries things that are worth a warning), peak memory in MB, and the loss on
    inner folds of the training fold (NaN where it was not asked for). Of classes, probabilities of shape (n_test,
    n_classes), NaN where the model gives none."""

    model: str
    repeat: int
    fold: int
    n_train: int
    test: np.ndarray
    prediction: np.ndarray
    chosen: dict[str, Any] | None
    seconds: float
    warned: tuple[str, ...] = ()
    memory_mb: float = float("nan")
    inner_loss: float = float("nan")
    probabilities: np.ndarray | None = None


class FinishedFolds:
    """One small JSON file a fold, named by the content of what was computed.

    A file belongs to a model with its parameters and its code, the features, the labels, the groups, and the rows of
    the fold. The code is the source of every package that a class or function of the model comes from, of qperov, and
    the byte code of those classes; of the packages in `PACKAGES` it is the version. What a class of your own imports
    from another package of your own is not looked at.

    Parameters
    ----------
    directory : Path
        Made when the first fold is kept.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._sources: dict[str, str] = {}

    def path(
        self,
        name: str,
        model: BaseEstimator,
        X: np.ndarray,
        fold: Fold,
        y: np.ndarray,
        groups: np.ndarray,
        inner: Any = None,
    ) -> Path:
        """Where the result of a model on a fold belongs; ``inner`` are the inner folds of its loss, if that is told."""
        digest = hashlib.blake2b(digest_size=16)
        ours = [self._source(package) for package in ("qperov", "qperov_circuits")]
        versions = installed_versions(PACKAGES.values())
        digest.update(repr((FORMAT, name, self._described(model), fold[:2], ours, versions, repr(inner))).encode())
        for array in (X, y, groups, fold[2], fold[3]):
            contiguous = np.ascontiguousarray(array)
            digest.update(repr((contiguous.shape, str(contiguous.dtype))).encode())
            digest.update(contiguous.tobytes())
        return self.directory / f"{digest.hexdigest()}.json"

    def read(self, path: Path) -> FoldResult | None:
        """What was kept there; None if there is nothing, or nothing whole."""
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            body |= {"test": np.array(body["test"], dtype=np.intp), "prediction": np.array(body["prediction"])}
            if body.get("probabilities") is not None:
                body["probabilities"] = np.array(body["probabilities"], dtype=float)
            return FoldResult(**body | {"warned": tuple(body["warned"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keep(self, path: Path, result: FoldResult) -> None:
        """Write a result so that it is there whole or not at all; floats come back bit by bit."""
        self.directory.mkdir(parents=True, exist_ok=True)
        arrays = ("test", "prediction", "probabilities")
        body = asdict(result) | {name: None if (a := getattr(result, name)) is None else a.tolist() for name in arrays}
        write_text(path, json.dumps(body))

    def _described(self, value: Any) -> Any:
        """An estimator or a parameter as plain values that tell it, and its code, from any other."""
        if isinstance(value, list | tuple):
            return [self._described(item) for item in value]
        if isinstance(value, dict):
            return [(str(key), self._described(item)) for key, item in value.items()]
        if isinstance(value, type):
            return [self._code(each) for each in value.__mro__]
        if isinstance(value, FunctionType):
            return [self._code(value), self._described(value.__defaults__)]
        if isinstance(value, partial):
            return [self._described(part) for part in (value.func, value.args, value.keywords)]
        if hasattr(value, "get_params"):
            return [self._described(type(value)), self._described(value.get_params(deep=False))]
        try:
            return [joblib.hash(value), self._described(type(value))]
        except Exception:  # whatever __reduce__ of a foreign class raises
            text = repr(value)
            return text if " at 0x" not in text else secrets.token_hex()  # an address tells nothing

    def _code(self, part: type | FunctionType) -> tuple[str, str, str]:
        package = part.__module__.partition(".")[0]
        name = f"{part.__module__}.{part.__qualname__}"
        if package in PACKAGES or package == "builtins":
            return name, "", ""
        return name, self._source(package), repr(_byte_code(part))

    def _source(self, package: str) -> str:
        """Digest of the source of a package, or of a module that is in none."""
        if package not in self._sources:
            module = sys.modules.get(package)
            folders = [Path(folder) for folder in getattr(module, "__path__", ())]
            files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
            if not folders and (file := getattr(module, "__file__", None)):
                files = [Path(file)]
            digest = hashlib.blake2b(digest_size=16)
            for file in files:
                digest.update(repr((file.name, file.read_bytes() if file.is_file() else b"")).encode())
            self._sources[package] = digest.hexdigest()
        return self._sources[package]


def _byte_code(part: Any) -> Any:
    """What a class or function does, as loaded: its source may have been edited since."""
    if isinstance(part, type):
        return [(name, _byte_code(member)) for name, member in sorted(vars(part).items())]
    if isinstance(part, CodeType):
        return part.co_code, part.co_names, [_byte_code(each) for each in part.co_consts]
    if isinstance(part, frozenset):
        return sorted(map(repr, part))
    if isinstance(part, classmethod | staticmethod | property):
        return _byte_code(getattr(part, "fget", None) or getattr(part, "__func__", None))
    if isinstance(part, FunctionType):
        return _byte_code(part.__code__)
    return repr(part) if isinstance(part, str | int | float | complex | bytes | None) else type(part).__name__
