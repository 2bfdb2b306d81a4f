"""Several models on one bench, beside two baselines that need no model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pymatgen.core import Structure
from scipy.stats import binomtest

from qperov.errors import EmptyDatasetError
from qperov.evaluation.progress import Progress
from qperov.generative.bench.judgement import Hull, Relax
from qperov.generative.bench.proposals import ionic_substitutions, random_perturbations
from qperov.generative.bench.reference import prepare_reference
from qperov.generative.bench.validation import ValidationReport, validate_against

#: Names of the baselines; every sample is compared with the first.
PERTURBATION, SUBSTITUTION = "random perturbation", "ionic substitution"


@dataclass(frozen=True)
class BenchReport:
    """Samples of several models, judged alike.

    Attributes
    ----------
    table : DataFrame
        One row a sample and criterion: ``sample``, ``kind`` ("model" or "baseline"), the columns of
        ``ValidationReport.table``, ``difference`` of the share from the perturbation baseline's with Newcombe's 95 %
        interval ``difference_low``, ``difference_high``, and ``verdict``: "above", "below" or "not distinguishable".
    reports : dict of str to ValidationReport
        By sample.
    """

    table: pd.DataFrame
    reports: Mapping[str, ValidationReport]

    def shares(self) -> pd.DataFrame:
        """Shares side by side: a row a criterion, a column a sample."""
        wide = self.table.pivot(index="criterion", columns="sample", values="share")
        return wide.loc[self.table["criterion"].unique(), list(self.reports)].rename_axis(index=None, columns=None)

    def statement(self, sample: str, criterion: str = "valid") -> str:
        """One sentence: how the share of a sample stands to that of the perturbation baseline."""
        matching = self.table[(self.table["sample"] == sample) & (self.table["criterion"] == criterion)]
        if matching.empty:
            raise ValueError(f"no sample {sample!r} with a criterion {criterion!r} on this bench")
        row = matching.iloc[0]
        place = row["verdict"] + (" from" if row["verdict"] == "not distinguishable" else "")
        return (
            f"{sample}: {100 * row['share']:.1f} % {criterion.replace('_', ' ')}, {place} {PERTURBATION} "
            f"(difference {100 * row['difference']:+.1f} points, 95 % interval "
            f"{100 * row['difference_low']:+.1f} to {100 * row['difference_high']:+.1f})."
        )

    def summary(self) -> str:
        """Shares side by side and what they say of validity, as plain text."""
        models = self.table.loc[self.table["kind"] == "model", "sample"].unique()
        shares = self.shares().map(lambda share: f"{100 * share:.1f} %").to_string()
        told = [self.statement(name, criterion) for criterion in ("valid", "valid_unique_novel") for name in models]
        return "\n".join([shares, *told])

    def __str__(self) -> str:
        return self.summary()


def compare_samples(
    samples: Mapping[str, Sequence[Structure | None]],
    reference: Sequence[Structure],
    *,
    n_baseline: int | None = None,
    relax: Relax | None = None,
    hull: Hull | None = None,
    perovskite: bool = True,
    dissimilarity: bool = True,
    random_state: int | np.random.Generator = 0,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> BenchReport:
    """Judge what several models generated, and two baselines made from the reference.

    The baselines are :func:`random_perturbations` and :func:`ionic_substitutions` of the reference, with their default
    settings; a sample that bears the name of one ("random perturbation", "ionic substitution") takes its place. A high
    share of valid crystals is worth little without novelty: read both.

    Parameters
    ----------
    samples : mapping of str to sequence of Structure or None
        What each model generated.
    reference : sequence of Structure
        The training crystals.
    n_baseline : int, optional
        Crystals in each baseline; by default as many as in the largest sample.
    relax, hull, perovskite, dissimilarity, n_jobs, progress
        As in :func:`qperov.generative.bench.validation.validate`.
    random_state : int or Generator
        For the baselines.

    Raises
    ------
    EmptyDatasetError
        If there is no sample, an empty one, or no reference.
    CompositionError
        If the reference does not allow a baseline; see there.
    """
    if not samples or not all(len(sample) for sample in samples.values()):
        raise EmptyDatasetError("nothing was generated, so there is nothing to judge")
    prepared = prepare_reference(reference, dissimilarity=dissimilarity, n_jobs=n_jobs, progress=progress)
    n = max(len(sample) for sample in samples.values()) if n_baseline is None else n_baseline
    random = np.random.default_rng(random_state)
    everything = dict(samples)
    if PERTURBATION not in everything:
        everything[PERTURBATION] = random_perturbations(reference, n, random_state=random)
    if SUBSTITUTION not in everything:
        everything[SUBSTITUTION] = ionic_substitutions(reference, n, random_state=random)
    reports = {
        name: validate_against(
            sample, prepared, relax=relax, hull=hull, perovskite=perovskite, n_jobs=n_jobs, progress=progress
        )
        for name, sample in everything.items()
    }
    baseline = reports[PERTURBATION].table
    tables = [_beside(name, report.table, baseline) for name, report in reports.items()]
    return BenchReport(pd.concat(tables, ignore_index=True), reports)


def _beside(name: str, table: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """A sample's table with differences from the baseline's."""
    rows = []
    for own, other in zip(table.itertuples(index=False), baseline.itertuples(index=False), strict=True):
        difference, low, high = newcombe(own[2], own[3], other[2], other[3])
        verdict = "above" if low > 0 else "below" if high < 0 else "not distinguishable"
        rows.append([difference, low, high, verdict])
    columns = ["difference", "difference_low", "difference_high", "verdict"]
    beside = pd.concat([table, pd.DataFrame(rows, columns=columns)], axis=1)
    beside.insert(0, "kind", "baseline" if name in (PERTURBATION, SUBSTITUTION) else "model")
    beside.insert(0, "sample", name)
    return beside


def newcombe(count_a: int, total_a: int, count_b: int, total_b: int) -> tuple[float, float, float]:
    r"""Difference of two independent shares p_a − p_b with Newcombe's 95 % hybrid score interval, his method 10.

    .. math:: d - \sqrt{(p_a - l_a)^2 + (u_b - p_b)^2}, \quad d + \sqrt{(u_a - p_a)^2 + (p_b - l_b)^2}

    with Wilson's limits (l, u) of each share.

    Returns
    -------
    difference, low, high : float

    References
    ----------
    R. G. Newcombe, Stat. Med. 17, 873 (1998), doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.
    """
    a, b = count_a / total_a, count_b / total_b
    low_a, high_a = binomtest(count_a, total_a).proportion_ci(method="wilson")
    low_b, high_b = binomtest(count_b, total_b).proportion_ci(method="wilson")
    return a - b, a - b - math.hypot(a - low_a, high_b - b), a - b + math.hypot(high_a - a, b - low_b)
