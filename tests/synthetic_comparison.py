"""A realistic Comparison from random numbers, for the tests of records and reports."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.model_selection import GroupKFold

from qperov.evaluation.results import METRICS, Comparison

PROVENANCE = "PBE energies through a cluster expansion, out-of-fold error 0.001 meV/atom (120 crystals)"

MODELS = (  # name, descriptor, family, correlation with the truth
    ("SVR · powder pattern", "powder pattern", "classical", 0.66),
    ("Ridge · powder pattern", "powder pattern", "classical", 0.55),
    ("QSVR · powder pattern", "powder pattern", "quantum", 0.62),
    ("Ridge · pair correlations", "pair correlations", "reference", 0.998),
    ("QSVR · pair correlations", "pair correlations", "quantum", 0.05),
)


def scores(y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """The five metrics of one model."""
    error = predicted - y
    alike, constant = np.ptp(y) == 0, np.ptp(predicted) == 0
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "r2": float("nan") if alike else float(1 - (error**2).sum() / ((y - y.mean()) ** 2).sum()),
        "spearman": float("nan") if constant or alike else float(stats.spearmanr(y, predicted).statistic),
        "maer": float(np.abs(error / y).mean()),
    }


def corrected_t(a: np.ndarray, b: np.ndarray, ratio: float) -> tuple[float, float, float, float, float]:
    """Mean difference, interval, t and p of the corrected resampled t-test."""
    d = a - b
    spread = np.sqrt((1 / len(d) + ratio) * d.var(ddof=1))
    t = d.mean() / spread if spread > 0 else 0.0
    half = stats.t.ppf(0.975, len(d) - 1) * spread
    return (
        float(d.mean()),
        float(d.mean() - half),
        float(d.mean() + half),
        float(t),
        float(2 * stats.t.sf(abs(t), len(d) - 1)),
    )


def synthetic_comparison(
    n: int = 120, models: tuple[tuple[str, str, str, float], ...] = MODELS, repeats: int = 2, seed: int = 0
) -> Comparison:
    """n crystals in about n/1.2 groups, five folds; predictions are the truth mixed with noise."""
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(0, max(int(n / 1.2), 10), n))
    hidden = rng.normal(size=(n, 6))
    y = -37.0 + 0.27 * (hidden @ rng.normal(size=6)) / 2.5
    ids = tuple(f"CsPbBrI-{i:04d}" for i in range(n))
    features = {}
    for k, name in enumerate(dict.fromkeys(m[1] for m in models)):
        X = np.abs(hidden[:, : 3 + k]) @ rng.normal(size=(3 + k, 24))
        X[:, 5] = 7.5
        X[n // 2 : n // 2 + n // 8] = X[: n // 8]  # crystals that the descriptor cannot tell apart
        features[name] = X

    everything = [("mean", "", "baseline", 0.0), ("median", "", "baseline", 0.0), *models]
    predictions, folds, parameters = [], [], []
    for repeat in range(repeats):
        for fold, (train, test) in enumerate(GroupKFold(5, shuffle=True, random_state=repeat).split(y, y, groups)):
            for name, _, family, rho in everything:
                if family == "baseline":
                    predicted = np.full(len(test), getattr(np, name)(y[train]))
                else:
                    noise = rng.normal(size=len(test)) * y.std() * np.sqrt(1 - rho**2)
                    predicted = y.mean() + rho**2 * (y[test] - y.mean()) + rho * noise
                    chosen = {"C": float(10.0 ** rng.integers(0, 2)), "bandwidth": 0.1}
                    parameters.append((name, repeat, fold, json.dumps(chosen)))
                predictions.append(
                    pd.DataFrame(
                        {
                            "id": [ids[i] for i in test],
                            "group": groups[test],
                            "repeat": repeat,
                            "fold": fold,
                            "model": name,
                            "y_true": y[test],
                            "y_pred": predicted,
                        }
                    )
                )
                s = scores(y[test], predicted)
                folds.append((name, repeat, fold, len(train), len(test), s["mae"], s["rmse"], s["r2"]))
    long = pd.concat(predictions, ignore_index=True)
    per_fold = pd.DataFrame(folds, columns=["model", "repeat", "fold", "n_train", "n_test", "mae", "rmse", "r2"])

    ceilings = {name: min(0.86 + 0.13 * k, 0.99) for k, name in enumerate(features)}
    rows = []
    for name, descriptor, family, _ in everything:
        mine = long[long["model"] == name]
        true, predicted = mine["y_true"].to_numpy(), mine["y_pred"].to_numpy()
        row = {
            "model": name,
            "name": name.removesuffix(f" · {descriptor}"),
            "descriptor": descriptor,
            "kind": "baseline" if family == "baseline" else "model",
            "family": family,
            "role": "baseline" if family == "baseline" else "candidate",
        }
        best = scores(true, predicted)
        samples = [rng.integers(0, len(true), len(true)) for _ in range(60)]
        draws = pd.DataFrame([scores(true[s], predicted[s]) for s in samples])
        for metric in METRICS:
            low, high = np.quantile(draws[metric], [0.025, 0.975])
            row |= {metric: best[metric], f"{metric}_low": float(low), f"{metric}_high": float(high)}
        row |= {"ceiling_r2": ceilings.get(descriptor, float("nan")), "seconds": float(rng.gamma(2.0, 3.0))}
        rows.append(row)

    maes = per_fold.pivot(index=["repeat", "fold"], columns="model", values="mae")
    pairs = [
        (a, b, *corrected_t(maes[a].to_numpy(), maes[b].to_numpy(), 0.25))
        for a, b in combinations([m[0] for m in everything], 2)
    ]
    significance = pd.DataFrame(pairs, columns=["model_a", "model_b", "delta_mae", "low", "high", "t", "p"])
    p = significance["p"].to_numpy()
    order = np.argsort(p)
    holm = np.empty(len(order))
    holm[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    significance["p_holm"] = holm

    return Comparison(
        label={
            "name": "synthetic",
            "target": "energy_per_atom",
            "unit": "meV/atom",
            "n": n,
            "n_groups": len(np.unique(groups)),
            "mean": float(y.mean()),
            "sd": float(y.std()),
            "min": float(y.min()),
            "max": float(y.max()),
            "noise": 0.0011,
            "provenance": [PROVENANCE],
        },
        table=pd.DataFrame(rows),
        predictions=long,
        folds=per_fold,
        significance=significance,
        descriptors=pd.DataFrame(
            {
                "descriptor": list(features),
                "columns": [X.shape[1] for X in features.values()],
                "rank": [int(np.linalg.matrix_rank(X - X.mean(axis=0))) for X in features.values()],
                "distinct": [len(np.unique(X, axis=0)) for X in features.values()],
                "ceiling_r2": [ceilings[name] for name in features],
            }
        ),
        parameters=pd.DataFrame(parameters, columns=["model", "repeat", "fold", "parameters"]),
        features=features,
        ids=ids,
        y=y,
        settings={
            "folds": 5,
            "repeats": repeats,
            "seed": seed,
            "split": "Folds never separate crystals of one symmetry class or of one identical descriptor.",
            "bootstrap": 60,
        },
        warnings=("15 crystals share their powder pattern with another crystal of a different energy.",),
    )


TASK = {"command": "qperov compare shared.csv --seed 0", "seed": 0, "strict": False}
DATASET = {
    "name": "synthetic",
    "fingerprint": "0" * 64,
    "n": 120,
    "left_out": {"UnfinishedRunError": 2},
    "issues": ["run_07/OUTCAR: did not end; run it again", "run_09/OUTCAR: did not end; run it again"],
}
