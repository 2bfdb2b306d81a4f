"""How a report opens: the question and the data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qperov.evaluation.results import Comparison
from qperov.records.record import Record
from qperov.reports.words import findings as say
from qperov.reports.words.number_format import significant


def title(comparison: Comparison) -> str:
    """The dataset and its label."""
    unit = comparison.label.get("unit")
    return f"{comparison.label['name']}: {target(comparison)}" + (f" in {unit}" if unit else "")


def target(comparison: Comparison) -> str:
    """What the label is called."""
    return str(comparison.label["target"] or "the target")


def contestants(comparison: Comparison) -> str:
    """How many models of which family, as in "3 quantum models and 5 classical models"."""
    families = say.scored_models(comparison)["family"]
    counts = [(kind, int((families == kind).sum())) for kind in ("quantum", "classical", "reference")]
    return listed([f"{many} {kind} model{'s' if many > 1 else ''}" for kind, many in counts if many]) or "constants"


def asked(record: Record) -> str:
    """One paragraph: the question, the models, the folds, and the further sections."""
    comparison = record.comparison
    label, settings = comparison.label, comparison.settings
    families = set(say.scored_models(comparison)["family"])
    of = f"the {target(comparison)} of {label['n']} crystals ({label['name']})"
    question = f"How well can {of} be predicted"
    if descriptors := say.descriptor_names(comparison):
        question += f" from {listed([f'their {descriptors[0]}', *descriptors[1:]])}"
    if {"quantum", "classical"} <= families:
        question += ", and do quantum models predict it better than classical ones"
    text = f"{question}? {contestants(comparison).capitalize()} are tested on the same folds"
    text += f": {str(settings['split']).rstrip('.')}." if settings.get("split") else "."
    if len(comparison.parameters):
        text += " Hyperparameters were chosen by cross-validation within each training fold"
        text += ", from small grids (a quick run)." if record.task.get("quick") else "."
    if record.studies:
        text += f" Further sections: {listed([f'“{study.title}”' for study in record.studies])}."
    return text


def data_facts(record: Record) -> list[tuple[str, str]]:
    """Rows of the table on the data: what they are, how the label spreads, its noise and origin, what was left out."""
    label, unit = record.comparison.label, say.with_unit(record.comparison)
    noise = label.get("noise")
    known = noise is not None and np.isfinite(noise)
    facts = [("dataset", str(record.dataset.get("name", label["name"]))), ("crystals", str(label["n"]))]
    if label.get("n_classes") is not None:
        facts.append(("symmetry classes", str(label["n_classes"])))
    if label.get("n_groups") is not None:
        facts.append(("independent groups", str(label["n_groups"])))
    low, high = (significant(label[end], 5) for end in ("min", "max"))
    facts += [
        ("label", f"{target(record.comparison)}{',' if unit else ''}{unit}"),
        ("mean", f"{significant(label['mean'], 5)}{unit}"),
        ("standard deviation", f"{significant(label['sd'])}{unit}"),
        ("range", f"{low} to {high}{unit}"),
        ("noise of the label", f"{significant(noise, 2)}{unit}" if known else "not known"),
        ("origin of the label", " ".join(label["provenance"]) or "not stated"),
        ("left out on reading", _left_out(record)),
    ]
    if record.dataset.get("fingerprint"):
        facts.append(("fingerprint", str(record.dataset["fingerprint"])))
    return facts


def spread(comparison: Comparison) -> str:
    """Standard deviation, noise floor and range of the label, in one line above the scores."""
    label, unit = comparison.label, say.with_unit(comparison)
    noise = label.get("noise")
    known = noise is not None and np.isfinite(noise)
    floor = f"noise floor {significant(noise, 2)}{unit}" if known else "noise floor not known"
    low, high = (significant(label[end], 5) for end in ("min", "max"))
    return f"standard deviation {significant(label['sd'])}{unit}; {floor}; from {low} to {high}{unit}"


def _left_out(record: Record) -> str:
    counts = record.dataset.get("left_out", {})
    return "; ".join(f"{kind}: {count}" for kind, count in counts.items()) or "nothing"


def listed(names: Sequence[str]) -> str:
    """The names as in "a, b and c"."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
