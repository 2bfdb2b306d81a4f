"""A section of a report: how near generated crystals come to the property that was asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qperov.evaluation.shares import Interval, wilson
from qperov.records.study import Chart, Reference, Study
from qperov.studies.inverse_design.results import Asked, Generation, RelaxedCrystals, Sample, listed

TITLE = "Asked for and obtained"
#: Methods that are told the target, and so have a histogram.
TARGETED = ("local", "slerp", "search")
TRAINING = "training crystals"
AS_GENERATED, RELAXED = "generated, predicted", "generated, relaxed"


def obtained_study(asked: Asked, generation: Generation) -> Study:
    """How near the obtained property is to the target, with the training crystals and the baselines for contrast."""
    table = obtained_table(asked, generation)
    histogram = histogram_frame(generation)
    base = near_share(generation.labels, asked)
    shares = {sample.name: near_share(predicted(generation, sample), asked) for sample in generation.samples}
    above = [name for name, share in shares.items() if share and base and share.low > base.high]
    told = "No sample has a larger share so near than the training crystals: no interval lies above theirs."
    if above:
        told = (
            f"Samples with a larger share so near than the training crystals, their intervals apart: {listed(above)}."
        )
    relaxed = generation.relaxed
    sentences = [
        f"Asked for: {asked.name} {asked.with_unit(asked.value)}; within {asked.with_unit(asked.tolerance)} counts as "
        "obtained. Only valid, unique and novel crystals are counted.",
        f"The obtained property is predicted by {generation.judge}, trained on the same crystals as the models but not "
        f"part of any: MAE {asked.with_unit(generation.judge_mae)} on held-out compositions. It has seen no badly "
        "distorted crystal: of such its prediction is a guess.",
        told,
    ]
    tables = {f"Within {asked.with_unit(asked.tolerance)} of {asked.with_unit(asked.value)}, predicted": table}
    if relaxed is None:
        sentences.append("Nothing was relaxed: no energy here was computed, neither by DFT nor by a potential.")
    else:
        tables["After relaxation"] = after = relaxation_table(asked, generation, relaxed)
        sentences.append(
            f"Relaxed: {after['relaxed'].sum()} crystals, {after['converged'].sum()} of them to convergence, by "
            f"{relaxed.provenance}. RMSD: root mean square displacement of the atoms, strain of the cell taken out; "
            "medians over what converged."
        )
        unknown = relaxed.table["converged"].astype(bool) & relaxed.table["obtained"].isna()
        if relaxed.table["obtained"].isna().all():
            sentences.append(
                f"Energies of that potential cannot be compared with the {asked.name} of this data set, so only the "
                "motion of the atoms is told."
            )
        elif unknown.any():
            sentences.append(
                f"{unknown.sum()} of them hold elements to which no {asked.name} of this data set refers: these have "
                "moved, but have no energy here."
            )
    charts: tuple[Chart, ...] = ()
    if len(histogram):
        charts = (
            Chart(
                "Target and obtained", "histogram", "histogram", "value", series="crystals",
                panels="sample", x_label=asked.axis, y_label="share of crystals",
                references=(Reference("asked for", asked.value, "x"),),
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
    values = sample.obtained[generation.passing(sample)]
    return values[np.isfinite(values)]


def near_share(values: np.ndarray, asked: Asked) -> Interval | None:
    """Share of values near the target with Wilson's 95 % interval; None of no values."""
    if not len(values):
        return None
    return wilson(int((np.abs(values - asked.value) <= asked.tolerance).sum()), len(values))


def obtained_table(asked: Asked, generation: Generation) -> pd.DataFrame:
    """Shares near the target; the training crystals, by their labels, in the first row."""
    rows = [{"sample": TRAINING} | _nearness(generation.labels, asked)]
    for sample in generation.samples:
        rows.append({"sample": sample.name} | _nearness(predicted(generation, sample), asked))
    return pd.DataFrame(rows)


def _nearness(values: np.ndarray, asked: Asked) -> dict[str, object]:
    share = near_share(values, asked)
    unit = f", {asked.unit}" if asked.unit else ""
    return {
        "crystals": len(values),
        "near": int((np.abs(values - asked.value) <= asked.tolerance).sum()),
        "share, %": np.nan if share is None else 100 * share.value,
        "95 %": "–" if share is None else f"{100 * share.low:.1f} to {100 * share.high:.1f}",
        f"median{unit}": float(np.median(values)) if len(values) else np.nan,
        f"MAE to the target{unit}": float(np.abs(values - asked.value).mean()) if len(values) else np.nan,
    }


def relaxation_table(asked: Asked, generation: Generation, relaxed: RelaxedCrystals) -> pd.DataFrame:
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
        if relaxed.table["obtained"].notna().any():
            row |= _nearness(ended["obtained"].dropna().to_numpy(dtype=float), asked)
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
            drawn[RELAXED] = mine["obtained"].to_numpy(dtype=float)
        for series, numbers in drawn.items():
            finite = numbers[np.isfinite(numbers)]
            parts.append(pd.DataFrame({"sample": sample.name, "crystals": series, "value": finite}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["sample", "crystals", "value"])
