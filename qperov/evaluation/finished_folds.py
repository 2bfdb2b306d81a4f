"""Folds that are done, kept on disk, so that a comparison that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

#: Packages whose version changes what a model predicts.
PACKAGES = ("qperov", "numpy", "scipy", "scikit-learn", "torch")

Fold = tuple[int, int, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One model on one fold: rows tested, predictions, hyperparameters chosen (None without a search), seconds, what it
    warned of (nothing for a search, which tries things that are worth a warning), and peak memory in MB."""

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


class FinishedFolds:
    """One small JSON file a fold, named by the content of what was computed.

    A file belongs to a model with all its parameters, the features, the labels, the groups, the rows of the fold, and
    the versions of the packages; anything else is another file, so that nothing stale is ever taken.

    Parameters
    ----------
    directory : Path
        Made when the first fold is kept.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(
        self, name: str, model: BaseEstimator, X: np.ndarray, fold: Fold, y: np.ndarray, groups: np.ndarray
    ) -> Path:
        """Where the result of a model on a fold belongs."""
        digest = hashlib.blake2b(digest_size=16)
        parameters = sorted((key, str(value)) for key, value in model.get_params(deep=True).items())
        versions = [(package, _version(package)) for package in PACKAGES]
        digest.update(repr((name, type(model).__name__, parameters, fold[:2], versions)).encode())
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
            return FoldResult(**body | {"warned": tuple(body["warned"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keep(self, path: Path, result: FoldResult) -> None:
        """Write a result so that it is there whole or not at all; floats come back bit by bit."""
        self.directory.mkdir(parents=True, exist_ok=True)
        body = asdict(result) | {"test": result.test.tolist(), "prediction": result.prediction.tolist()}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(body), encoding="utf-8")
        partial.replace(path)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
