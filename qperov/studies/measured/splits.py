"""A report's section on what a random split would have claimed, where scans of one series are alike."""

from __future__ import annotations

import pandas as pd

from qperov.datasets.pattern_dataset import PatternDataset
from qperov.evaluation.comparison import compare
from qperov.evaluation.progress import Progress
from qperov.evaluation.results import Comparison
from qperov.records.study import Chart, Study
from qperov.studies.models import Suite

TITLE = "What a random split would have claimed"
#: Folds of the random split at most: leaving out one at a time would cost more and say the same.
MOST_FOLDS = 10


def random_split_studies(
    suite: Suite,
    dataset: PatternDataset,
    comparison: Comparison,
    *,
    further: PatternDataset | None = None,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> tuple[Study, ...]:
    """The best model of each family on folds that ignore groups; no section where groups are of one sample each."""
    if comparison.label["n_groups"] == len(dataset):
        return ()
    grouped = comparison.table[comparison.table["kind"] == "model"]
    best = grouped.loc[grouped.groupby("family", sort=False)[comparison.loss].idxmin()]
    at_random = compare(
        {name: suite.models[name] for name in best["model"]},
        dataset,
        folds=min(comparison.settings["folds"], MOST_FOLDS, len(dataset)),
        random_state=comparison.settings["seed"],
        split="random",
        n_bootstrap=comparison.settings["bootstrap"],
        n_jobs=n_jobs,
        further=further,
        progress=progress,
    )
    shown = ["balanced_accuracy", "accuracy"] if comparison.classes else ["mae", "r2"]
    splits = {"groups together": best, "at random": at_random.table.set_index("model").loc[best["model"]].reset_index()}
    words = {"balanced_accuracy": "balanced accuracy", "mae": "MAE", "r2": "R²"}
    unit = f" / {comparison.label['unit']}" if comparison.label.get("unit") else ""
    main = words[shown[0]] + (unit if shown[0] == "mae" else "")
    table = pd.DataFrame({"model": best["name"].tolist(), "descriptor": best["descriptor"].tolist()})
    rows = []
    for split, part in splits.items():
        for metric in shown:
            named = main if metric == shown[0] else words.get(metric, metric)
            table[f"{named}, {split}"] = part[metric].tolist()
        for _, row in part.iterrows():
            ends = {end: row[f"{shown[0]}_{end}"] for end in ("low", "high")}
            rows.append({"value": row[shown[0]], **ends, "split": f"{row['name']}, {split}", "family": row["family"]})
    first = table.iloc[0]
    text = (
        f"Dealt at random, folds have scans of one group on both sides, and a model only has to recognise them. "
        f"{first['model']} has {words[shown[0]]} {first[f'{main}, at random']:.3g}{unit if shown[0] == 'mae' else ''} "
        f"so, and {first[f'{main}, groups together']:.3g} where groups stay together, as everywhere else on this page: "
        "that is what is to be expected of a new series."
    )
    chart = Chart(
        "Groups together, and at random", "intervals", "scores", "value", "split", x_label=main,
        caption="95 % intervals, by bootstrap over groups.",
    )  # fmt: skip
    return (Study(TITLE, (text,), {"Scores of both splits": table}, (chart,), {"scores": pd.DataFrame(rows)}),)
