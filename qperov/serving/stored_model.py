"""Trained models, read back from their folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.pipeline import Pipeline

from qperov.datasets.structure_text import from_text
from qperov.diffraction.measured import MeasuredPattern
from qperov.errors import QperovError, RecordError
from qperov.records.record import slug
from qperov.serving.applicability import ApplicabilityDomain
from qperov.serving.composition_range import CompositionRange
from qperov.serving.conformal import ConformalResiduals
from qperov.serving.model_store import FILES, INDEX, MODELS, SCHEMA, SPACES, versions_here
from qperov.serving.pipeline_file import read_pipeline
from qperov.serving.stages import points_of, predictions_of
from qperov.storage.checked_folder import read_index

#: Training crystals may be predicted otherwise than when the model was trained by so much of the labels' spread.
EXAMPLE_TOLERANCE = 1e-6
#: Packages whose other releases are told even where the predictions are the same.
WATCHED = ("qperov", "scikit-learn")


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A trained model, as read from its folder.

    Attributes
    ----------
    path : Path
    name : str
        As the comparison called it.
    target : str
    unit : str or None
        Of predictions, intervals and labels.
    about : dict
        The rest of ``model.json``: ``samples`` (what it was trained on), ``dataset``, ``descriptor``, ``scores``,
        ``settings``, ``created``, ``versions``, ``constant`` (the better one's ``name`` and ``mae``, or ``error`` of
        classes, and whether it is ``beaten``; None in older models), and what was ``warned`` of in training.
    pipeline : Pipeline
        From crystals to predictions.
    residuals : ConformalResiduals
    domain : ApplicabilityDomain
    compositions : CompositionRange
    ids : tuple of str
        Of the training crystals, in the order of the domain's points.
    classes : tuple of str
        Sorted; none of a model of numbers.
    temperature : float
        That makes its probabilities right on samples held out, see `qperov.serving.fitting.held_out_temperature`.
    notes : tuple of str
        What a user must know before predictions are believed: no better than a constant, other versions, other
        predictions than when trained.
    """

    path: Path
    name: str
    target: str
    unit: str | None
    about: Mapping[str, Any]
    pipeline: Pipeline
    residuals: ConformalResiduals
    domain: ApplicabilityDomain
    compositions: CompositionRange
    ids: tuple[str, ...]
    classes: tuple[str, ...] = ()
    temperature: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def takes_patterns(self) -> bool:
        """Whether it was trained on measured patterns."""
        return self.about["samples"] != "crystals"


def find_models(path: str | Path) -> dict[str, Path]:
    """Stored models in a run directory, or in a folder of models, or the one that a path names: name → folder.

    Raises
    ------
    RecordError
        If there is none.
    """
    root = Path(path)
    if (root / INDEX).is_file():
        return {root.name: root}
    inside = root / MODELS if (root / MODELS).is_dir() else root
    folders = sorted(index.parent for index in inside.glob(f"*/{INDEX}") if not index.parent.name.startswith("."))
    if not folders:
        raise RecordError(
            f"{root}: no stored model here; `qperov compare … --keep best` keeps one in the run's directory"
        )
    return {folder.name: folder for folder in folders}


def find_model(path: str | Path, name: str | None = None) -> Path:
    """The folder of the stored model that is meant: the one of that name, or the only one.

    Raises
    ------
    RecordError
        If there is none, none of that name, or several and no name.
    """
    found = find_models(path)
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name is not None and slug(name) in found:
        return found[slug(name)]
    which = f"no model {name!r} here" if name is not None else f"{len(found)} models here, say which"
    raise RecordError(f"{path}: {which}: {', '.join(found)}")


def load_model(path: str | Path) -> StoredModel:
    """Read a stored model; nothing in its files is run.

    It predicts a few of its training crystals again, and notes where that gives other numbers than when it was trained.

    Raises
    ------
    RecordError
        If a file is missing, damaged, changed, of another version, or holds what no stored model holds.
    MissingDependencyError
        If the model ends in a network, and PyTorch or safetensors is not installed.

    Examples
    --------
    >>> import pathlib, tempfile, qperov
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from qperov.serving.model_store import fit_and_store
    >>> crystals = qperov.load_dataset("abx3_radii").take(range(20))
    >>> models = {"Ridge": make_pipeline(qperov.PXRDFeaturizer("profile"), Ridge())}
    >>> comparison = qperov.compare(models, crystals, folds=2, n_bootstrap=10)
    >>> folder = pathlib.Path(tempfile.mkdtemp())  # `qperov compare --keep` takes its run directory
    >>> [kept] = fit_and_store(models, crystals, comparison, ["Ridge"], folder)
    >>> load_model(kept).name
    'Ridge'
    """
    folder = Path(path)
    about = read_index(folder, INDEX, SCHEMA, FILES)
    try:
        pipeline = read_pipeline(folder, about.get("network"))
        training = _columns(folder, "training")
        spaces = {name: _points(folder, name) for name in SPACES if f"{name}.parquet" in about["files"]}
        errors = _columns(folder, "residuals")
        model = StoredModel(
            path=folder,
            name=about["name"],
            target=about["target"],
            unit=about["unit"],
            about={
                key: about[key]
                for key in ("dataset", "descriptor", "scores", "settings", "created", "versions", "warned")
            }
            | {"constant": about.get("constant"), "samples": about.get("samples", "crystals")},
            pipeline=pipeline,
            residuals=ConformalResiduals(errors["residual"], errors["group"]),
            domain=ApplicabilityDomain(spaces, training["group"], about["marks"], training["strangeness"]),
            compositions=CompositionRange({key: (low, high) for key, (low, high) in about["compositions"].items()}),
            ids=tuple(training["id"].tolist()),
            classes=tuple(about.get("classes", ())),
            temperature=float(about.get("temperature") or 1.0),
            notes=_notes(pipeline, about, training),
        )
    except RecordError as error:
        raise RecordError(f"{error}{_remedy(about)}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError, pa.ArrowException) as error:
        found = f"{folder}: a part is lacking or garbled ({type(error).__name__}: {error})"
        raise RecordError(found + _remedy(about)) from error
    return model


def _remedy(about: Mapping[str, Any]) -> str:
    """What to do about a model that another version kept."""
    versions = about.get("versions")
    version = versions.get("qperov") if isinstance(versions, dict) else None
    if version == versions_here().get("qperov"):
        return ""
    return (
        f"; it was kept by qperov {version}: keep it anew with `qperov compare … --keep`, or predict with that version"
    )


def _notes(pipeline: Pipeline, about: Mapping[str, Any], training: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """What is to be said where training crystals are predicted otherwise than then, or versions are others."""
    constant, unit = about.get("constant"), about["unit"]
    worth = ""
    if constant is not None and not constant["beaten"]:
        per = f" {unit}" if unit else ""
        loss, name = ("error", "balanced error") if about.get("classes") else ("mae", "MAE")
        worth = (
            f"it is not shown to be better than a constant: {name} {about['scores'][loss]:.3g}{per} on "
            f"{about.get('samples', 'crystals')} held out, and {constant[loss]:.3g} for the {constant['name']}"
        )
    examples = about["examples"]
    rows = [int(example["row"]) for example in examples]
    found, called = "", str(about.get("samples", "crystals"))
    try:
        again = predictions_of(pipeline, points_of(pipeline, [_sample(example) for example in examples]))
        otherwise = f"{called} that it was trained on are predicted otherwise than then"
        if about.get("classes"):
            found = otherwise if (again != training["fitted"][rows]).any() else ""
        else:
            difference = float(np.abs(again - training["fitted"][rows]).max())
            if not difference <= EXAMPLE_TOLERANCE * (training["y"].std() or 1.0):
                found = f"{otherwise}, by up to {difference:.3g}"
    except QperovError as error:
        found = f"a {called.removesuffix('s')} that it was trained on is refused now: {error}"
    others = _other_versions(about["versions"], all_of_them=bool(found))
    return tuple(note for note in (worth, found, f"it was trained with {others}" if others else "") if note)


def _sample(example: Mapping[str, Any]) -> Any:
    """A training sample as it was kept."""
    if "structure" in example:
        return from_text(example["structure"])
    pattern = example["pattern"]
    kalpha = None if pattern["kalpha"] is None else (float(pattern["kalpha"][0]), float(pattern["kalpha"][1]))
    two_theta, intensity = (np.array(pattern[name], dtype=float) for name in ("two_theta", "intensity"))
    return MeasuredPattern(two_theta, intensity, pattern["wavelength"], kalpha, str(pattern["name"]))


def _other_versions(stored: Mapping[str, str], *, all_of_them: bool) -> str:
    """What was trained with other versions than those installed here, in words; of the watched packages' releases."""
    here = versions_here()
    names = stored if all_of_them else [name for name in WATCHED if name in stored]

    def compared(version: str) -> str:
        return version if all_of_them else ".".join(version.split(".")[:2])

    others = [name for name in names if compared(stored[name]) != compared(here.get(name, "none"))]
    return ", ".join(f"{name} {stored[name]} (here {here.get(name, 'none')})" for name in others)


def _points(folder: Path, name: str) -> np.ndarray:
    return np.column_stack([column.to_numpy() for column in pq.read_table(folder / f"{name}.parquet").columns])


def _columns(folder: Path, name: str) -> dict[str, np.ndarray]:
    table = pq.read_table(folder / f"{name}.parquet")
    return {column: table[column].to_numpy() for column in table.column_names}
