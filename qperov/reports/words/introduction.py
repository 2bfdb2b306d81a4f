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
    """How many models of which family, as in "3 quantum and 5 classical models"."""
    families = say.scored_models(comparison)["family"]
    counts = [(kind, int((families == kind).sum())) for kind in ("quantum", "classical", "reference")]
    found = [(kind, many) for kind, many in counts if many]
    ending = f" model{'s' if found[-1][1] > 1 else ''}" if found else ""
    return f"{listed([f'{many} {kind}' for kind, many in found])}{ending}" or "constants"


def best_caption(comparison: Comparison) -> str:
    """What the first figure shows."""
    table = say.scored_models(comparison)
    text = f"The best of each family with 95 % intervals (over test {say.samples(comparison)}); dashed: a constant."
    return text + (" References stand outside the comparison." if (table["family"] == "reference").any() else "")


def data_facts(record: Record) -> list[tuple[str, str]]:
    """Rows of the table on the data: what they are, how the label spreads, its noise and origin, what was left out."""
    comparison = record.comparison
    label, unit = comparison.label, say.with_unit(comparison)
    facts = [("dataset", str(record.dataset.get("name", label["name"]))), (say.samples(comparison), str(label["n"]))]
    if label.get("n_classes") is not None:
        facts.append(("symmetry classes", str(label["n_classes"])))
    if label.get("n_groups") is not None:
        facts.append(("independent groups", str(label["n_groups"])))
    facts.append(("label", f"{target(comparison)}{',' if unit else ''}{unit}"))
    if comparison.classes:
        facts.append(("classes", "; ".join(class_counts(comparison))))
    else:
        noise = label.get("noise")
        known = noise is not None and np.isfinite(noise)
        low, high = (significant(label[end], 5) for end in ("min", "max"))
        facts += [
            ("spread", f"standard deviation {significant(label['sd'])}, from {low} to {high}{unit}"),
            ("noise of the label", f"{significant(noise, 2)}{unit}" if known else _no_noise(comparison)),
        ]
    facts += [
        ("origin of the label", " ".join(label["provenance"]) or "not stated"),
        ("left out on reading", _left_out(record)),
    ]
    return facts


def class_counts(comparison: Comparison) -> list[str]:
    """Each class with its samples and groups, the largest first."""
    classes = sorted(comparison.label["classes"].items(), key=lambda item: -item[1]["n"])
    return [
        f"{name} {about['n']} in {about['groups']} group{'s' if about['groups'] != 1 else ''}"
        + ("" if about["scored"] else " (not scored)")
        for name, about in classes
    ]


def _no_noise(comparison: Comparison) -> str:
    """Of labels without copies."""
    one = say.samples(comparison).removesuffix("s")
    return f"not measured: no {one} has two labels of its own"


def spread(comparison: Comparison) -> str:
    """Standard deviation, noise floor and range of the label, or its classes, in one line above the scores."""
    if comparison.classes:
        return "; ".join(class_counts(comparison))
    label, unit = comparison.label, say.with_unit(comparison)
    noise = label.get("noise")
    known = noise is not None and np.isfinite(noise)
    floor = f"noise {significant(noise, 2)}{unit}" if known else "noise not measured"
    low, high = (significant(label[end], 5) for end in ("min", "max"))
    return f"standard deviation {significant(label['sd'])}{unit}; {floor}; from {low} to {high}"


def _left_out(record: Record) -> str:
    counts = record.dataset.get("left_out", {})
    return "; ".join(f"{kind}: {count}" for kind, count in counts.items()) or "nothing"


def listed(names: Sequence[str]) -> str:
    """The names as in "a, b and c"."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
