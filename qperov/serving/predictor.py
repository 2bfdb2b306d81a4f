"""Predictions of a stored model for new crystals and measured patterns, with intervals and warnings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from qperov.descriptors.scans.peaks import find_peaks
from qperov.diffraction.measured import MeasuredPattern
from qperov.errors import QperovError
from qperov.serving.applicability import MARK, Judgement
from qperov.serving.conformal import ROUNDING
from qperov.serving.fitting import with_temperature
from qperov.serving.inputs import Entry, Failure
from qperov.serving.stages import deviations_of, points_of, predictions_of, probabilities_of
from qperov.serving.stored_model import StoredModel

COLUMNS = (
    "id", "composition", "prediction", "low", "high", "domain", "strangeness", "p", "nearest", "remarks",
)  # fmt: skip
#: Of classes; probabilities of each stand behind "set".
CLASS_COLUMNS = (
    "id", "prediction", "probability", "set", "domain", "strangeness", "p", "nearest", "seen", "remarks",
)  # fmt: skip
#: Between the classes of a set.
BETWEEN = " | "
#: Strongest peaks, or places of the highest activation, that are told, and how far apart these are in degrees.
MOST_SEEN, APART = 3, 1.0


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """What a model says.

    Attributes
    ----------
    table : DataFrame
        One row an entry, in their order: ``id``, ``composition`` (empty for a measured pattern), ``prediction``,
        ``low`` and ``high`` (the interval), ``sd`` (of a Gaussian process alone), ``domain`` ("inside", "unusual" or
        "outside", by distance and by composition), ``strangeness`` and ``p`` (of the distance, see
        `qperov.serving.applicability`), ``nearest`` (training crystal) and ``remarks`` (cautions, empty where there
        is nothing). Of classes ``probability`` (of the predicted one, calibrated on samples held out), ``set`` (the
        classes that cannot be ruled out, "a | b"), ``probability_…`` of each class and ``seen`` (where a network finds
        the class, or the strongest peaks) in place of ``composition``, ``low`` and ``high``.
    failures : list of Failure
        Entries without a prediction.
    confidence : float
    half_width : float
        Of the interval, in the unit of the predictions; of classes, 1 minus the least probability of a set's members.
    """

    table: pd.DataFrame
    failures: list[Failure]
    confidence: float
    half_width: float

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        if "set" in self.table:
            return f"<Predictions: {len(self.table)}, with sets of classes at {self.confidence:.0%}{failed}>"
        return f"<Predictions: {len(self.table)}, each ± {self.half_width:.3g} at {self.confidence:.0%}{failed}>"

    def _repr_html_(self) -> str:
        failed = "".join(f"<p>{escape(f'{failure.id}: {failure.reason}')}</p>" for failure in self.failures)
        table = self.table.to_html(index=False, float_format="{:.4g}".format, max_rows=20)
        return f"<p>{escape(repr(self)[1:-1])}</p>{table}{failed}"


def predict_entries(model: StoredModel, entries: Sequence[Entry], confidence: float = 0.9) -> Predictions:
    """Predict for every entry that the model's descriptor can take.

    Parameters
    ----------
    model : StoredModel
    entries : sequence of Entry
    confidence : float
        Probability that an interval holds the label, for crystals like the training crystals.

    Raises
    ------
    ValueError
        Unless 0 < confidence < 1.
    """
    half_width = model.residuals.half_width(confidence)
    readable, failures = _readable(model, entries)
    described, refused = _described(model, readable)
    failures += refused
    table = pd.DataFrame(columns=list(CLASS_COLUMNS if model.classes else COLUMNS))
    if described:
        taken = [entry for part, _ in described for entry in part]
        points = {name: np.concatenate([own[name] for _, own in described]) for name in described[0][1]}
        make = _class_table if model.classes else _table
        table = make(model, taken, points, half_width)
    if model.classes:
        return Predictions(table, failures, confidence, half_width)
    lost = ~np.isfinite(table["prediction"].to_numpy(dtype=float))
    failures += [
        Failure(name, "the model's prediction is no finite number", "ValueError") for name in table["id"][lost]
    ]
    return Predictions(table[~lost].reset_index(drop=True), failures, confidence, half_width)


def _readable(model: StoredModel, entries: Sequence[Entry]) -> tuple[list[Entry], list[Failure]]:
    """Entries that the model's descriptor takes: measured patterns, crystals, or both."""
    if model.takes_patterns:
        crystals = [entry for entry in entries if isinstance(entry.content, Structure)]
        reason = f"a crystal, but {model.name} reads measured patterns"
        return [entry for entry in entries if entry not in crystals], [
            Failure(entry.id, reason, "DescriptorError") for entry in crystals
        ]
    if getattr(model.pipeline.steps[0][1], "kind", None) == "profile":
        return list(entries), []
    reason = (
        f"a measured pattern, but {model.name} reads crystals: its descriptor ({model.about['descriptor']}) is worked "
        "out from atoms. Patterns are read by models of broadened profiles alone"
    )
    measured = [entry for entry in entries if isinstance(entry.content, MeasuredPattern)]
    return [entry for entry in entries if entry not in measured], [
        Failure(entry.id, reason, "DescriptorError") for entry in measured
    ]


def _described(
    model: StoredModel, entries: Sequence[Entry]
) -> tuple[list[tuple[Sequence[Entry], dict[str, np.ndarray]]], list[Failure]]:
    """Entries with their points, in parts; those that cannot be described are found by halving."""
    if not entries:
        return [], []
    try:
        return [(entries, points_of(model.pipeline, [entry.content for entry in entries]))], []
    except (QperovError, ValueError) as error:
        if len(entries) == 1:
            reason = re.sub(r"^structure 0\b", "this crystal", re.sub(r"^structure 0: ", "", str(error)))
            return [], [Failure(entries[0].id, reason, type(error).__name__)]
    middle = len(entries) // 2
    first, second = _described(model, entries[:middle]), _described(model, entries[middle:])
    return first[0] + second[0], first[1] + second[1]


def _table(
    model: StoredModel, entries: Sequence[Entry], points: dict[str, np.ndarray], half_width: float
) -> pd.DataFrame:
    predicted = predictions_of(model.pipeline, points)
    judged = model.domain.judge(points)
    domain = [_domain(model, entry, verdict) for entry, verdict in zip(entries, judged.verdict, strict=True)]
    table = pd.DataFrame(
        {
            "id": [entry.id for entry in entries],
            "composition": [_formula(entry) for entry in entries],
            "prediction": predicted,
            "low": predicted - half_width,
            "high": predicted + half_width,
            "domain": domain,
            "strangeness": judged.strangeness,
            "p": judged.p,
            "nearest": [model.ids[row] for row in judged.nearest],
            "remarks": ["; ".join(_remarks(model, entry, judged, row)) for row, entry in enumerate(entries)],
        },
        columns=list(COLUMNS),
    )
    deviations = deviations_of(model.pipeline, points)
    if deviations is not None:
        table.insert(table.columns.get_loc("high") + 1, "sd", deviations)
    return table


def _class_table(
    model: StoredModel, entries: Sequence[Entry], points: dict[str, np.ndarray], quantile: float
) -> pd.DataFrame:
    """Classes; a set holds those whose probability is at least 1 − the quantile of held-out samples."""
    found = probabilities_of(model.pipeline, points, model.classes)
    found = with_temperature(found, model.temperature)
    judged = model.domain.judge(points)
    names = np.array(model.classes)
    predicted = found.argmax(axis=1)
    # a set is never empty: the predicted class is no more ruled out than the others
    members = (found >= 1 - quantile - ROUNDING) | (np.arange(len(names)) == predicted[:, None])
    table = pd.DataFrame(
        {
            "id": [entry.id for entry in entries],
            "prediction": names[predicted],
            "probability": found.max(axis=1),
            "set": [BETWEEN.join(names[row]) for row in members],
            "domain": judged.verdict,
            "strangeness": judged.strangeness,
            "p": judged.p,
            "nearest": [model.ids[row] for row in judged.nearest],
            "seen": _seen(model, entries, points, predicted),
            "remarks": ["; ".join(_remarks(model, entry, judged, row)) for row, entry in enumerate(entries)],
        },
        columns=list(CLASS_COLUMNS),
    )
    for place, (name, column) in enumerate(zip(names, found.T, strict=True), start=table.columns.get_loc("set") + 1):
        table.insert(place, f"probability_{name}", column)
    return table


def _seen(
    model: StoredModel, entries: Sequence[Entry], points: dict[str, np.ndarray], predicted: np.ndarray
) -> list[str]:
    """Where a network finds the predicted class; of other models, the strongest peaks of each pattern."""
    featurizer, final = model.pipeline.steps[0][1], model.pipeline.steps[-1][1]
    if hasattr(final, "class_activation"):
        angles = np.array([float(name.rstrip("°")) for name in featurizer.get_feature_names_out()])
        maps = final.class_activation(points["descriptor"])
        numbers = np.searchsorted(final.classes_, np.array(model.classes)[predicted])
        return [f"activation at {_highest(angles, own[number])}" for own, number in zip(maps, numbers, strict=True)]
    texts = []
    for entry in entries:
        if not isinstance(entry.content, MeasuredPattern):
            texts.append("")
            continue
        peaks = find_peaks(entry.content)
        strongest = np.sort(np.argsort(-peaks.height, kind="stable")[:MOST_SEEN])
        places = [
            f"{peaks.two_theta[row]:.2f}°" + (f" ({peaks.d[row]:.3f} Å)" if np.isfinite(peaks.d[row]) else "")
            for row in strongest
        ]
        texts.append(f"strongest peaks at {', '.join(places)}" if places else "no peak above the noise")
    return texts


def _highest(angles: np.ndarray, values: np.ndarray) -> str:
    """Angles at which values are highest, some way apart."""
    found: list[float] = []
    for row in np.argsort(-values):
        if all(abs(angles[row] - other) >= APART for other in found):
            found.append(float(angles[row]))
        if len(found) == MOST_SEEN:
            break
    return ", ".join(f"{angle:.2f}°" for angle in sorted(found))


def _formula(entry: Entry) -> str:
    return entry.content.composition.reduced_formula if isinstance(entry.content, Structure) else ""


def _domain(model: StoredModel, entry: Entry, verdict: str) -> str:
    """The verdict on the distance; an element never seen makes it outside, other fractions of elements unusual."""
    if isinstance(entry.content, Structure):
        if model.compositions.unseen(entry.content):
            return "outside"
        if verdict == "inside" and model.compositions.remarks(entry.content):
            return "unusual"
    return str(verdict)


def _remarks(model: StoredModel, entry: Entry, judged: Judgement, row: int) -> list[str]:
    """Cautions about one prediction."""
    found = model.compositions.remarks(entry.content) if isinstance(entry.content, Structure) else []
    called = str(model.about["samples"])
    if judged.verdict[row] != "inside":
        found.append(
            f"{judged.strangeness[row]:.3g} times as far from the training {called} as {MARK:.0%} of them are from "
            "each other"
        )
    if judged.same[row]:
        found.append(
            f"the descriptor cannot tell it from training {called.removesuffix('s')} {model.ids[judged.nearest[row]]}"
        )
    return found
