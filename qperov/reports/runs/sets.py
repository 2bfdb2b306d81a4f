"""Several runs under distinct names, grouped by crystals and labels, and what forbids or limits a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qperov.evaluation.results import Comparison
from qperov.records.record import Record
from qperov.reports.runs.tests import same_folds, same_labels
from qperov.reports.words import findings as say
from qperov.reports.words.introduction import listed, target

NOT_COMPARABLE = "Scores of these runs must not be compared, since their samples or labels differ"


@dataclass(frozen=True, eq=False)
class Run:
    """A record under the name that the page calls it by."""

    name: str
    record: Record


def named_runs(records: Sequence[Record]) -> list[Run]:
    """Runs under the names of their directories, with the directory above where two have the same name."""
    paths = [record.path.resolve() for record in records]
    often = Counter(path.name for path in paths)
    names = [path.name if often[path.name] == 1 else f"{path.parent.name}/{path.name}" for path in paths]
    again = Counter(names)
    names = [name if again[name] == 1 else f"{name} ({k})" for k, name in enumerate(names, start=1)]
    return [Run(name, record) for name, record in zip(names, records, strict=True)]


def comparable_sets(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs grouped so that crystals and labels are the same within a set."""
    return _grouped(runs, same_labels)


def _grouped(runs: Sequence[Run], alike: Callable[[Comparison, Comparison], bool]) -> list[list[Run]]:
    parts: list[list[Run]] = []
    for run in runs:
        known = [part for part in parts if alike(part[0].record.comparison, run.record.comparison)]
        if known:
            known[0].append(run)
        else:
            parts.append([run])
    return parts


def run_names(runs: Sequence[Run]) -> str:
    """The names of runs as in "a, b and c"."""
    return listed([run.name for run in runs])


def cautions(runs: Sequence[Run]) -> list[str]:
    """What forbids or limits a comparison, the worst first; nothing where all is the same."""
    sets, found = comparable_sets(runs), []
    if len(sets) > 1:
        reasons = [f"{mine[0].name} against {sets[0][0].name}: {_unlike(sets[0][0], mine[0])}" for mine in sets[1:]]
        parts = "; ".join(run_names(mine) for mine in sets)
        found.append(f"{NOT_COMPARABLE}: {parts}. {'. '.join(reasons)}.")
    for mine in sets:
        by_folds = _grouped(mine, same_folds)
        if len(by_folds) > 1:
            parts = "; ".join(run_names(part) for part in by_folds)
            found.append(
                f"These runs were tested on different folds: {parts}. This contributes to the differences of their "
                "scores, and no paired test is possible."
            )
    return found


def _unlike(one: Run, other: Run) -> str:
    a, b = one.record.comparison, other.record.comparison
    shared, called = len(set(a.ids) & set(b.ids)), say.samples(a)
    if shared < max(len(a.ids), len(b.ids)):
        names = "" if a.label["name"] == b.label["name"] else f" ({a.label['name']} and {b.label['name']})"
        return f"their {called} differ{names}: {shared} in common, of {len(a.ids)} and {len(b.ids)}"
    labels = [f"{target(c)}{say.with_unit(c)}" for c in (a, b)]
    if labels[0] != labels[1]:
        return f"the {called} are the same, but one has the label {labels[0]} and the other {labels[1]}"
    values = dict(zip(b.ids, b.y.tolist(), strict=True))
    many = sum(values[crystal] != y for crystal, y in zip(a.ids, a.y.tolist(), strict=True))
    return f"the {called} are the same, but {many} of {len(a.ids)} labels differ"
