"""What many tasks say together: ranks, planned questions, costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from qperov.benchmarking.contrasts import CLOSED_FORM, SEPARABLE
from qperov.benchmarking.task_records import TaskRecord, digest_of, read_task_record
from qperov.benchmarking.tasks import Protocol
from qperov.evaluation.significance import bayesian_signed_rank_test

#: One name for a regressor and the classifier that stands in its place.
SAME = {
    "SVC": "SVR",
    "QSVC": "QSVR",
    "QSVC projected": "QSVR projected",
    "Logistic regression": "Ridge",
    "Kernel logistic": "Kernel ridge",
    "Quantum kernel logistic": "Quantum kernel ridge",
    f"QSVC, {SEPARABLE}": f"QSVR, {SEPARABLE}",
    f"QSVC, {CLOSED_FORM}": f"QSVR, {CLOSED_FORM}",
}
BEST = "best classical model"
#: The planned questions, quantum model first.
QUESTIONS = (
    ("best quantum model", BEST),
    ("QSVR", f"QSVR, {SEPARABLE}"),
    ("QSVR", f"QSVR, {CLOSED_FORM}"),
)
#: Level of the critical difference.
LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Verdict:
    """A benchmark's result as plain tables; errors are divided by those of the best constant.

    Attributes
    ----------
    scores : DataFrame
        One row a task and model, means over seeds: ``task``, ``evidence`` (dataset and target), ``n``, ``loss``
        ("mae" or "error"), ``unit``, ``model``, ``descriptor``, ``family``, ``role``, ``value``, ``relative`` and
        ``seconds``.
    ranks : DataFrame
        ``model``, ``family``, ``rank`` (mean over tasks; 1 is best), ``tasks``; of models that all tasks have.
    critical_difference : float
        Of mean ranks, at 5 % (Nemenyi's test); NaN with fewer than two tasks or models.
    friedman_p : float
        That all those models are alike.
    planned : DataFrame
        ``quantum``, ``classical``, ``datasets`` (pieces of evidence), ``difference`` (mean relative error of the first
        less that of the second), ``prob_better``, ``prob_equivalent``, ``prob_worse`` (of the first, on a further
        dataset), ``outcome``.
    differences : DataFrame
        What the planned questions are asked of: ``quantum``, ``classical``, ``task``, ``evidence``, ``n``,
        ``difference`` (mean), ``least`` and ``largest``, over seeds and, of single models, over folds.
    costs : DataFrame
        ``model``, ``family``, ``seconds`` (median over tasks) and ``ratio`` (geometric mean of its time by that of the
        SVR).
    protocol : dict
        ``tasks_file``, ``tasks_sha256``, ``commit``, ``records`` (how many of those planned),
        ``records_sha256``, ``seeds``, ``folds``, ``rope``, ``quick``.
    """

    scores: pd.DataFrame
    ranks: pd.DataFrame
    critical_difference: float
    friedman_p: float
    planned: pd.DataFrame
    differences: pd.DataFrame
    costs: pd.DataFrame
    protocol: dict[str, Any]

    @property
    def answer(self) -> str:
        """The first planned question in a sentence."""
        first = self.planned.iloc[0]
        words = {
            "better": "predict better than",
            "likely better": "probably predict better than",
            "practically the same": "predict practically as well as",
            "likely worse": "probably predict worse than",
            "worse": "predict worse than",
            "undecidable": "cannot be told from",
        }
        many, difference = int(first["datasets"]), round(100 * first["difference"], 1) + 0.0  # no "-0.0"
        return (
            f"On {many} dataset{'s' if many > 1 else ''} with their targets, the best quantum models "
            f"{words[first['outcome']]} the best classical ones: their error differs by "
            f"{difference:+.1f} % of the best constant's (region of practical equivalence "
            f"±{100 * self.protocol['rope']:g} %; probability that a further dataset shows them better "
            f"{first['prob_better']:.2f}, practically the same {first['prob_equivalent']:.2f}, worse "
            f"{first['prob_worse']:.2f})."
        )


def judge(files: Sequence[Path], protocol: Protocol, planned: int) -> Verdict:
    """Put the records of a benchmark together, those that are there of all that are planned.

    Raises
    ------
    RecordError
        If a record is damaged.
    """
    records = [read_task_record(file) for file in files]
    scores = score_table(records)
    ranks, critical, p = rank_table(scores)
    differences = difference_table(records)
    facts = {
        "tasks_file": protocol.source.name,
        "tasks_sha256": protocol.digest,
        "commit": protocol.commit,
        "records": f"{len(files)} of {planned}",
        "records_sha256": digest_of(files),
        "seeds": list(protocol.seeds),
        "folds": protocol.folds,
        "rope": protocol.rope,
        "quick": protocol.quick,
    }
    questions = planned_table(differences, protocol.rope)
    return Verdict(scores, ranks, critical, p, questions, differences, cost_table(scores), facts)


def score_table(records: Sequence[TaskRecord]) -> pd.DataFrame:
    """See `Verdict.scores`."""
    rows = []
    for record in records:
        constant = record.facts["constant"]
        for model in record.models:
            rows.append(
                {
                    "task": record.task["name"],
                    "evidence": evidence_of(record),
                    "n": record.facts["n"],
                    "loss": record.facts["loss"],
                    "unit": record.facts["unit"] or "",
                    "model": SAME.get(model["name"], model["name"]),
                    "descriptor": model["descriptor"],
                    "family": model["family"],
                    "role": model["role"],
                    "value": model["loss"],
                    "relative": model["loss"] / constant,
                    "seconds": model["seconds"],
                }
            )
    table = pd.DataFrame(rows)
    keys = [name for name in table if name not in ("value", "relative", "seconds")]
    return table.groupby(keys, sort=False, as_index=False)[["value", "relative", "seconds"]].mean()


def rank_table(scores: pd.DataFrame) -> tuple[pd.DataFrame, float, float]:
    """Mean ranks of the models that all tasks have, the critical difference of two of them, and Friedman's p.

    Two mean ranks over N tasks of k models differ at 5 % if by q √(k(k + 1)/(6N)), q the quantile of the studentised
    range over √2. Tasks of one dataset are not independent; the planned questions take them together, ranks do not.

    References
    ----------
    J. Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 1 (2006).
    """
    compared = scores[scores["family"].isin(("quantum", "classical"))]
    best = compared.groupby(["task", "model"], sort=False)["relative"].min().unstack("model")
    best = best.dropna(axis="columns")[[name for name in best.columns if best[name].notna().all()]]
    n, k = best.shape
    ranks = best.rank(axis="columns").mean().sort_values()
    families = compared.drop_duplicates("model").set_index("model")["family"]
    table = pd.DataFrame({"model": ranks.index, "family": families[ranks.index].to_numpy(), "rank": ranks.to_numpy()})
    if n < 2 or k < 3:
        return table.assign(tasks=n), np.nan, np.nan
    quantile = float(stats.studentized_range.ppf(1 - LEVEL, k, np.inf)) / np.sqrt(2)
    p = float(stats.friedmanchisquare(*best.to_numpy().T).pvalue)
    return table.assign(tasks=n), quantile * float(np.sqrt(k * (k + 1) / (6 * n))), p


def difference_table(records: Sequence[TaskRecord]) -> pd.DataFrame:
    """Relative errors of the first model of each planned question less those of the second, by task."""
    rows = []
    for quantum, classical in QUESTIONS:
        by_task: dict[str, list[np.ndarray]] = {}
        first = {record.task["name"]: record for record in records}
        for record in records:
            if (difference := _differences(record, quantum, classical)) is not None:
                by_task.setdefault(record.task["name"], []).append(difference)
        for task, parts in by_task.items():
            values = np.concatenate(parts)
            rows.append(
                {
                    "quantum": quantum,
                    "classical": classical,
                    "task": task,
                    "evidence": evidence_of(first[task]),
                    "n": first[task].facts["n"],
                    "difference": float(values.mean()),
                    "least": float(values.min()),
                    "largest": float(values.max()),
                }
            )
    columns = ["quantum", "classical", "task", "evidence", "n", "difference", "least", "largest"]
    return pd.DataFrame(rows, columns=columns)


def planned_table(differences: pd.DataFrame, rope: float) -> pd.DataFrame:
    """The planned questions over pieces of evidence, by the Bayesian signed-rank test; see `Verdict.planned`."""
    rows = []
    for (quantum, classical), part in differences.groupby(["quantum", "classical"], sort=False):
        values = part.groupby("evidence", sort=False)["difference"].mean().to_numpy()
        row: dict[str, Any] = {"quantum": quantum, "classical": classical, "datasets": len(values)}
        row |= {"difference": float(values.mean())}
        if len(values) > 1:
            test = bayesian_signed_rank_test(values, np.zeros(len(values)), rope)
            row |= {"prob_better": test.lower, "prob_equivalent": test.equivalent, "prob_worse": test.higher}
            row |= {"outcome": test.outcome}
        else:  # one dataset says nothing of a further one
            row |= dict.fromkeys(("prob_better", "prob_equivalent", "prob_worse"), np.nan) | {"outcome": "undecidable"}
        rows.append(row)
    return pd.DataFrame(rows)


def cost_table(scores: pd.DataFrame, unit: str = "SVR") -> pd.DataFrame:
    """Time of each model, and how many times that of the SVR it is; see `Verdict.costs`."""
    seconds = scores[scores["role"] != "baseline"].groupby(["task", "model"], sort=False)["seconds"].mean().unstack()
    families = scores.drop_duplicates("model").set_index("model")["family"]
    ratios = np.exp(np.log(seconds.clip(lower=1e-6).div(seconds[unit].clip(lower=1e-6), axis=0)).mean())
    table = pd.DataFrame({"seconds": seconds.median(), "ratio": ratios})
    return table.rename_axis("model").reset_index().assign(family=lambda t: families[t["model"]].to_numpy())


def evidence_of(record: TaskRecord) -> str:
    """Dataset and target of a record."""
    target = record.task["target"]
    return f"{record.task['dataset']}, {target}" if target else record.task["dataset"]


def _differences(record: TaskRecord, quantum: str, classical: str) -> np.ndarray | None:
    """Relative differences of a task with one seed: over folds, or of the models chosen inside the folds."""
    constant = record.facts["constant"]
    if classical == BEST:
        chosen = [row["delta_loss"] for row in record.planned]
        return np.array(chosen) / constant if chosen else None
    of = {SAME.get(model["name"], model["name"]): np.array(model["folds"], dtype=float) for model in record.models}
    if quantum not in of or classical not in of:
        return None
    return (of[quantum] - of[classical]) / constant
