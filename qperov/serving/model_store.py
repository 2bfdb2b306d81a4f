"""Trained models on disk: one folder each, of files that run no code when they are read.

A folder holds ``model.json`` (what the model was trained on, its scores, versions, checksums), ``pipeline.skops`` (and
``network.safetensors``), ``training.parquet`` (one row a training crystal), ``descriptor.parquet`` and
``components.parquet`` (the training crystals as the featurizer and as the regressor see them) and ``residuals.parquet``
(errors on the folds of the comparison).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from qperov.datasets.dataset import CrystalDataset, Dataset
from qperov.datasets.structure_text import to_text
from qperov.diffraction.measured import MeasuredPattern
from qperov.evaluation.progress import Progress
from qperov.evaluation.results import Comparison
from qperov.records.record import slug
from qperov.serving.applicability import ApplicabilityDomain
from qperov.serving.composition_range import CompositionRange
from qperov.serving.conformal import ConformalResiduals
from qperov.serving.fitting import fit_models, groups_of, held_out_errors, held_out_temperature
from qperov.serving.pipeline_file import NETWORK, PIPELINE, write_pipeline
from qperov.serving.stages import points_of, predictions_of
from qperov.storage.atomic import atomic_path
from qperov.storage.checked_folder import write_index
from qperov.storage.plain_values import clean
from qperov.storage.versions import installed_versions

SCHEMA = 1
#: Folder of a run that holds its models, and the index of each.
MODELS, INDEX = "models", "model.json"
#: Training crystals that are predicted again when a model is read.
EXAMPLES = 3
SPACES = ("descriptor", "components")
TABLES = ("training", *SPACES, "residuals")
FILES = (PIPELINE, NETWORK, *(f"{table}.parquet" for table in TABLES))
#: Packages whose version changes what a model predicts.
PACKAGES = ("qperov", "numpy", "scipy", "scikit-learn", "pymatgen", "skops", "torch")


def fit_and_store(
    models: Mapping[str, BaseEstimator],
    dataset: Dataset,
    comparison: Comparison,
    names: Sequence[str],
    folder: str | Path,
    n_jobs: int | None = None,
    *,
    further: Dataset | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Train models of a comparison on all of its crystals, and store each in a folder of its own.

    Parameters
    ----------
    models : mapping of str to Pipeline
        What ``compare`` was given.
    dataset : CrystalDataset or PatternDataset
        What ``compare`` was given.
    comparison : Comparison
        Its result; its errors on held-out crystals become the prediction intervals.
    names : sequence of str
        Which of the models.
    folder : str or Path
        Where the folders go; in a run directory, ``models``.
    n_jobs : int, optional
        Models trained at once, as in joblib.
    further : dataset, optional
        What ``compare`` was given to learn from as well.
    progress : Progress, optional
        Told the name of each model.

    Returns
    -------
    list of Path
        The new folders, in the order of ``names``.

    Raises
    ------
    ValueError
        If the comparison is of other crystals or labels, has no such model, or its folds parted copies of one crystal.
    RecordError
        If a model holds what cannot be read back without running code.
    MissingDependencyError
        If safetensors is needed and not installed.
    """
    if comparison.ids != tuple(dataset.ids) or dataset.y is None or not np.array_equal(comparison.y, dataset.y):
        raise ValueError("the comparison is of other crystals, or other labels, than the dataset")
    if unknown := [name for name in names if name not in models or name not in set(comparison.predictions["model"])]:
        raise ValueError(f"no model of the comparison is called {unknown[0]!r}; there are {', '.join(models)}")
    errors = {name: ConformalResiduals(*held_out_errors(comparison, name)) for name in names}
    groups = groups_of(comparison)
    paths = []
    fitted = fit_models(models, dataset, groups, names, n_jobs=n_jobs, further=further, progress=progress)
    for name, pipeline, warned in fitted:
        about = _about(name, dataset, comparison, warned)
        paths.append(_store(Path(folder), about, pipeline, dataset, groups, errors[name]))
    return paths


def _about(name: str, dataset: Dataset, comparison: Comparison, warned: tuple[str, ...]) -> dict[str, Any]:
    row = comparison.table.set_index("model").loc[name]
    scores = {
        f"{metric}{end}": float(row[f"{metric}{end}"])
        for metric in (comparison.metrics if comparison.classes else ("mae", "rmse", "r2"))
        for end in ("", "_low", "_high")
    }
    return {
        "schema": SCHEMA,
        "name": name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": dataset.target or "y",
        "unit": dataset.unit,
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "n": len(dataset),
            "n_groups": comparison.label["n_groups"],
            "labels": comparison.label["provenance"],
        },
        "descriptor": row["descriptor"],
        "samples": dataset.CALLED,
        "classes": list(comparison.classes),
        "temperature": held_out_temperature(comparison, name) if comparison.classes else None,
        "scores": scores,
        "constant": _constant(comparison, name),
        "settings": {key: comparison.settings[key] for key in ("folds", "repeats", "seed", "split")},
        "warned": list(warned),
        "versions": versions_here(),
    }


def _constant(comparison: Comparison, name: str) -> dict[str, Any] | None:
    """The better constant beside a model, and whether the model is better than it."""
    if (constant := comparison.constant) is None:
        return None
    return {
        "name": constant["model"],
        comparison.loss: float(constant[comparison.loss]),
        "beaten": comparison.beats_constant(name),
    }


def _store(
    folder: Path,
    about: dict[str, Any],
    pipeline: Pipeline,
    dataset: Dataset,
    groups: np.ndarray,
    errors: ConformalResiduals,
) -> Path:
    """Write everything into a folder, which appears at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / slug(about["name"], taken=[path.name for path in folder.iterdir()])
    with atomic_path(target) as partial:
        partial.mkdir()
        files = write_pipeline(pipeline, partial)
        spaces = points_of(pipeline, list(dataset.samples))
        fitted = predictions_of(pipeline, spaces)
        domain = ApplicabilityDomain.of(spaces, groups)
        labels = {"y": np.asarray(dataset.y), "fitted": fitted}
        labels = {key: clean(values.tolist()) if values.dtype.kind == "U" else values for key, values in labels.items()}
        training = {"id": clean(list(dataset.ids)), "group": groups, **labels}
        tables = {
            "training": pa.table(training | {"strangeness": domain.strangeness}),
            "residuals": pa.table({"group": errors.groups, "residual": errors.residuals}),
            **{name: _table(points) for name, points in spaces.items()},
        }
        for name, table in tables.items():
            pq.write_table(table, partial / f"{name}.parquet")
            files.append(f"{name}.parquet")
        rows = np.unique(np.linspace(0, len(dataset) - 1, EXAMPLES).astype(int))
        final = type(pipeline.steps[-1][1]).__name__
        body = about | {
            "network": final if NETWORK in files else None,
            "compositions": CompositionRange.of(dataset.structures).fractions
            if isinstance(dataset, CrystalDataset)
            else {},
            "marks": domain.marks,
            "examples": [{"row": int(row)} | _example(dataset.samples[row]) for row in rows],
        }
        write_index(partial, INDEX, body, files)
    return target


def _example(sample: Any) -> dict[str, Any]:
    """A training sample as plain values."""
    if not isinstance(sample, MeasuredPattern):
        return {"structure": to_text(sample)}
    pattern = {"two_theta": sample.two_theta.tolist(), "intensity": sample.intensity.tolist()}
    return {"pattern": pattern | {"wavelength": sample.wavelength, "kalpha": sample.kalpha, "name": sample.name}}


def versions_here() -> dict[str, str]:
    """Versions of Python and of what changes predictions, as installed."""
    return installed_versions(PACKAGES)


def _table(points: np.ndarray) -> pa.Table:
    return pa.table({str(j): np.ascontiguousarray(column) for j, column in enumerate(points.T)})
