"""Five labelled crystals and a thousand without: is the weakly supervised GAN worth more than a mean?

    python experiments/few_labels.py --out qperov-runs/few-labels

draws a few labelled crystals of cpx321, gives the GAN all others without labels, and scores every model on the crystals
whose honest group holds no labelled one; twenty times. Printed and saved: mean absolute errors, and each model's
difference to the mean of the labels, paired by draw, with the number of draws it won.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t as student
from sklearn.metrics import r2_score

import qperov
from qperov.classical.cnn import CNNRegressor
from qperov.classical.gan import WSPGAN
from qperov.commands import screen
from qperov.errors import PublishedFaultWarning
from qperov.evaluation.splits import honest_groups

BASELINE = "mean of the labels"


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    out : Path
        Folder that receives the tables.
    kind : str
        Features, as in PXRDFeaturizer.
    labels, draws : int
        Labelled crystals a draw, and draws.
    steps : int
        Of each GAN.
    seed : int
    """

    out: Path = Path("qperov-runs/few-labels")
    kind: str = "structure_factors"
    labels: int = 5
    draws: int = 20
    steps: int = 200
    seed: int = 0


def predictions(task: Task, X: np.ndarray, y: np.ndarray, labelled: np.ndarray, draw: int) -> dict[str, np.ndarray]:
    """Model → predictions for all crystals."""
    others = X[np.setdiff1d(np.arange(len(X)), labelled)]
    few, known = X[labelled], y[labelled]
    common = {"steps": task.steps, "random_state": draw}
    return {
        BASELINE: np.full(len(X), known.mean()),
        "WSP-GAN": WSPGAN(**common).fit(few, known, X_unlabelled=others).predict(X),
        "WSP-GAN, game alone": WSPGAN(supervised_weight=0.0, adversarial_weight=1.0, **common)
        .fit(few, known, X_unlabelled=others)
        .predict(X),
        "WSP-GAN, labels alone": WSPGAN(adversarial_weight=0.0, **common).fit(few, known, others).predict(X),
        "WSP-GAN as in MATGANIP": WSPGAN("matganip", **common).fit(few, known).predict(X),
        "WSP-GAN as in MATGANICSS": WSPGAN("matganicss", **common).fit(few, known).predict(X),
        "CNN-Gen": CNNRegressor(epochs=task.steps // 2, random_state=draw).fit(few, known).predict(X),
    }


def main(task: Task) -> pd.DataFrame:
    """Run all draws; returns and saves the summary."""
    dataset = qperov.load_dataset("cpx321")
    X = qperov.PXRDFeaturizer(task.kind).fit_transform(dataset.structures)
    y, groups = dataset.y, honest_groups(dataset.groups, [X])
    # one scale for all features keeps the published network, which has none, from overflowing
    X = X / np.abs(X).max()
    warnings.simplefilter("ignore", PublishedFaultWarning)
    rows = []
    with screen.bar("Draws") as advance:
        for draw in range(task.draws):
            labelled = np.random.default_rng([task.seed, draw]).choice(len(X), task.labels, replace=False)
            test = ~np.isin(groups, groups[labelled])
            for name, predicted in predictions(task, X, y, labelled, draw).items():
                mae, r2 = np.abs(predicted - y)[test].mean(), r2_score(y[test], predicted[test])
                rows.append({"draw": draw, "model": name, "mae": mae, "r2": r2})
            advance(draw + 1, task.draws, f"draw {draw + 1}")
    table = pd.DataFrame(rows)
    errors = table.pivot(index="draw", columns="model", values="mae")[list(dict.fromkeys(table["model"]))]
    gains = errors.sub(errors[BASELINE], axis=0)
    half = student.ppf(0.975, task.draws - 1) * gains.std() / np.sqrt(task.draws)
    summary = pd.DataFrame(
        {
            "mae": errors.mean(),
            "median r2": table.groupby("model")["r2"].median(),
            "to the mean": gains.mean(),
            "low": gains.mean() - half,
            "high": gains.mean() + half,
            "draws won": (gains < 0).sum(),
        }
    ).loc[errors.columns]
    task.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(task.out / "draws.csv", index=False)
    summary.to_csv(task.out / "summary.csv")
    print(f"{task.labels} labels, {task.draws} draws, {task.kind}; {dataset.unit}, 95 % intervals, paired by draw")
    print(summary.to_string(float_format=lambda value: f"{value:.4f}"))
    return summary


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Task.out, help="folder of the tables")
    parser.add_argument("--kind", default=Task.kind, help="features, as in PXRDFeaturizer")
    for number in ("labels", "draws", "steps", "seed"):
        parser.add_argument(f"--{number}", type=int, default=getattr(Task, number))
    parser.add_argument("--quick", action="store_true", help="two draws, 20 steps: a minute")
    arguments = vars(parser.parse_args())
    quick, task = arguments.pop("quick"), Task(**arguments)
    main(replace(task, draws=2, steps=20) if quick else task)
