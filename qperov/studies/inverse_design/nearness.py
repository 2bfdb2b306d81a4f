"""A section of a report: how near generated crystals come to the property that was asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from qperov.records.study import Chart, Reference, Study
from qperov.reports.words.introduction import listed
from qperov.studies.inverse_design.results import Generation, RelaxedCrystals, Sample, Target

TITLE = "Asked for and obtained"
#: Methods that are told the target, and so have a histogram.
TARGETED = ("local", "slerp", "search")
TRAINING = "training crystals"
AS_GENERATED, RELAXED = "generated, predicted", "generated, relaxed"


def nearness_study(target: Target, generation: Generation) -> Study:
    """How near the obtained property is to the target, with the training crystals and the baselines for contrast."""
    table = nearness_table(target, generation)
    histogram = histogram_frame(generation)
    base = near_share(generation.labels, target)
    shares = {sample.name: near_share(predicted(generation, sample), target) for sample in generation.samples}
    above = [name for name, (_, low, _) in shares.items() if low > base[2]]
    told = "No sample has a larger share so near than the training crystals: no interval lies above theirs."
    if above:
        told = (
            f"Samples with a larger share so near than the training crystals, their intervals apart: {listed(above)}."
        )
    relaxed = generation.relaxed
    sentences = [
        f"Asked for: {target.name} {target.with_unit(target.value)}; within {target.with_unit(target.tolerance)} "
        "counts as obtained. Only valid, unique and novel crystals are counted.",
        f"The obtained property is predicted by {generation.judge}, trained on the same crystals as the models but not "
        f"part of any: MAE {target.with_unit(generation.judge_mae)} on held-out compositions. It has seen no badly "
        "distorted crystal: of such its prediction is a guess.",
        told,
    ]
    tables = {f"Within {target.with_unit(target.tolerance)} of {target.with_unit(target.value)}, predicted": table}
    if relaxed is None:
        sentences.append("Nothing was relaxed: no energy here was computed, neither by DFT nor by a potential.")
    else:
        tables["After relaxation"] = after = relaxation_table(target, generation, relaxed)
        sentences.append(
            f"Relaxed: {after['relaxed'].sum()} crystals, {after['converged'].sum()} of them to convergence, by "
            f"{relaxed.provenance}. RMSD: root mean square displacement of the atoms, strain of the cell taken out; "
            "medians over what converged."
        )
        unknown = relaxed.table["converged"].astype(bool) & relaxed.table["property"].isna()
        if relaxed.table["property"].isna().all():
            sentences.append(
                f"Energies of that potential cannot be compared with the {target.name} of this data set, so only the "
                "motion of the atoms is told."
            )
        elif unknown.any():
            sentences.append(
                f"{unknown.sum()} of them hold elements to which no {target.name} of this data set refers: these have "
                "moved, but have no energy here."
            )
    charts: tuple[Chart, ...] = ()
    if len(histogram):
        charts = (
            Chart(
                "Target and obtained", "histogram", "histogram", "value", series="crystals",
                panels="sample", x_label=target.axis, y_label="share of crystals",
                references=(Reference("asked for", target.value, "x"),),
                caption="Valid, unique and novel crystals of the samples that were told the target.",
            ),
        )  # fmt: skip
    return Study(
        TITLE,
        tuple(sentences),
        tables=tables,
        charts=charts,
        data={"histogram": histogram},
        decimals={"share, %": 1, "RMSD, Å": 2, "volume, %": 1},
    )


# --- tables -------------------------------------------------------------------------------------


def predicted(generation: Generation, sample: Sample) -> np.ndarray:
    """Predicted property of the valid, unique and novel crystals of a sample, as far as it is known."""
    values = sample.properties[generation.passing(sample)]
    return values[np.isfinite(values)]


def near_share(values: np.ndarray, target: Target) -> tuple[float, float, float]:
    """Share of values near the target with Wilson's 95 % interval; three NaN of no values."""
    if not len(values):
        return np.nan, np.nan, np.nan
    near = binomtest(int((np.abs(values - target.value) <= target.tolerance).sum()), len(values))
    return (near.statistic, *near.proportion_ci(method="wilson"))


def nearness_table(target: Target, generation: Generation) -> pd.DataFrame:
    """Shares near the target; the training crystals, by their labels, in the first row."""
    rows = [{"sample": TRAINING} | _nearness(generation.labels, target)]
    for sample in generation.samples:
        rows.append({"sample": sample.name} | _nearness(predicted(generation, sample), target))
    return pd.DataFrame(rows)


def _nearness(values: np.ndarray, target: Target) -> dict[str, object]:
    share, low, high = near_share(values, target)
    unit = f", {target.unit}" if target.unit else ""
    return {
        "crystals": len(values),
        "near": int((np.abs(values - target.value) <= target.tolerance).sum()),
        "share, %": 100 * share,
        "95 %": f"{100 * low:.1f} to {100 * high:.1f}" if len(values) else "–",
        f"median{unit}": float(np.median(values)) if len(values) else np.nan,
        f"MAE to the target{unit}": float(np.abs(values - target.value).mean()) if len(values) else np.nan,
    }


def relaxation_table(target: Target, generation: Generation, relaxed: RelaxedCrystals) -> pd.DataFrame:
    """How many relaxed, how far their atoms moved (medians), and the property then, where it is known."""
    rows = []
    for sample in generation.samples:
        mine = relaxed.table[relaxed.table["sample"] == sample.name]
        if mine.empty:
            continue
        ended = mine[mine["converged"].astype(bool)]
        row = {
            "sample": sample.name,
            "relaxed": len(mine),
            "converged": len(ended),
            "RMSD, Å": float(ended["rmsd"].median()),
            "volume, %": 100 * float(ended["volume_change"].median()),
        }
        if relaxed.table["property"].notna().any():
            row |= _nearness(ended["property"].dropna().to_numpy(dtype=float), target)
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["sample", "relaxed", "converged"])


def histogram_frame(generation: Generation) -> pd.DataFrame:
    """Values in panels, one for each sample that was told the target, beside the training labels."""
    parts = []
    relaxed = generation.relaxed
    for sample in generation.samples:
        values = predicted(generation, sample)
        if sample.method not in TARGETED or not len(values):
            continue
        drawn = {TRAINING: generation.labels, AS_GENERATED: values}
        if relaxed is not None:
            mine = relaxed.table[(relaxed.table["sample"] == sample.name) & relaxed.table["converged"].astype(bool)]
            drawn[RELAXED] = mine["property"].to_numpy(dtype=float)
        for series, numbers in drawn.items():
            finite = numbers[np.isfinite(numbers)]
            parts.append(pd.DataFrame({"sample": sample.name, "crystals": series, "value": finite}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["sample", "crystals", "value"])
