"""A report's section on learning curves: which model needs how many crystals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qperov.evaluation.problem import BASELINES
from qperov.evaluation.significance import corrected_resampled_t_test
from qperov.records.study import Chart, Study

TITLE = "Learning curves"
#: Models in a chart that are not quantum.
MOST_OTHERS = 4


def learning_curve_study(curve: pd.DataFrame, *, unit: str = "") -> Study:
    """A report's section on a learning curve: which model needs how many crystals.

    Parameters
    ----------
    curve : DataFrame
        From :func:`learning_curve`. Quantum models are compared with the best other of their descriptor at each size.
    unit : str
        Of the label.
    """
    per = f" / {unit}" if unit else ""
    means = curve.groupby(["model", "size"], sort=False)["mae"].mean().unstack()
    r2 = curve[curve["size"] == curve["size"].max()].groupby("model", sort=False)["r2"].mean()
    learnt = [name for name in means.index if name not in BASELINES]
    table = pd.DataFrame({"model": means.index})
    for size in means.columns:
        table[f"MAE{per}, n = {size}"] = means[size].to_numpy()
    table["R², all"] = r2.reindex(means.index).to_numpy()
    table["exponent α"] = [_exponent(means.loc[name]) if name in learnt else np.nan for name in means.index]
    models = curve.drop_duplicates("model").set_index("model")
    descriptor_of = models["descriptor"]
    quantum = [name for name in learnt if models.at[name, "family"] == "quantum"]
    sizes = [int(size) for size in means.columns]
    charts, data = [], {}
    for descriptor, names in _drawn(means.loc[learnt], quantum, descriptor_of).items():
        long = means.loc[names].stack().rename("mae").reset_index()
        data[descriptor] = long.assign(model=long["model"].map(models["name"]))
        charts.append(
            Chart(
                f"Error against training crystals: {descriptor}", "lines", descriptor, "size", "mae", series="model",
                x_label="training crystals", y_label=f"MAE{per}",
                caption=f"Mean over the same test folds. Quantum models and the best {MOST_OTHERS} others.",
            )
        )  # fmt: skip
    return Study(
        TITLE,
        (
            f"The models of the comparison are trained on {sizes[0]} to {sizes[-1]} crystals and tested on the same "
            f"{len(curve.groupby(['repeat', 'fold']))} grouped folds. Larger training sets contain the smaller ones, "
            "and hyperparameters are chosen anew in each. α is the slope of log MAE against −log n: the larger, the "
            "faster the error falls.",
            *(_against_others(curve, means, name, quantum, learnt, descriptor_of, unit) for name in quantum),
            "Better and worse mean p < 0.05 in the corrected resampled t-test, without correction for the number of "
            "sizes. The best other model is chosen on the test folds at each size, which favours it slightly.",
        ),
        tables={"Mean absolute error": table},
        charts=tuple(charts),
        data=data,
        decimals={"R², all": 2, "exponent α": 2},
    )


def _drawn(means: pd.DataFrame, quantum: list[str], descriptor_of: pd.Series) -> dict[str, list[str]]:
    """Descriptor → models in its chart: as many as can be told apart by colour and shape."""
    drawn = {}
    for descriptor in dict.fromkeys(descriptor_of[means.index]):
        own = [name for name in means.index if descriptor_of[name] == descriptor]
        others = means.loc[[name for name in own if name not in quantum]].iloc[:, -1].nsmallest(MOST_OTHERS).index
        drawn[descriptor] = [name for name in own if name in quantum or name in others]
    return drawn


def _exponent(mae: pd.Series) -> float:
    """α of MAE ∝ n^−α by least squares on logarithms; NaN with one size or an error of zero."""
    if len(mae) < 2 or not (mae > 0).all():
        return float("nan")
    return -float(np.polyfit(np.log(mae.index.to_numpy(dtype=float)), np.log(mae.to_numpy()), 1)[0])


def _against_others(
    curve: pd.DataFrame,
    means: pd.DataFrame,
    name: str,
    quantum: list[str],
    learnt: list[str],
    descriptor_of: pd.Series,
    unit: str,
) -> str:
    """At which sizes a quantum model is told apart from the best other model of its descriptor."""
    rivals = [other for other in learnt if other not in quantum and descriptor_of[other] == descriptor_of[name]]
    if not rivals:
        return f"No other model uses the descriptor of {name}."
    better: list[str] = []
    worse: list[str] = []
    for size in means.columns:
        rival = means.loc[rivals, size].idxmin()
        at = curve[curve["size"] == size].sort_values(["repeat", "fold"])
        own, other = at[at["model"] == name], at[at["model"] == rival]
        share = float((own["n_test"] / own["size"]).mean())
        test = corrected_resampled_t_test(own["mae"].to_numpy(), other["mae"].to_numpy(), share)
        if test.p < 0.05:
            (better if test.difference < 0 else worse).append(str(size))
    first, last = means.loc[name].iloc[[0, -1]]
    per = f" {unit}" if unit else ""
    told = [f"{word} at n = {', '.join(at)}" for word, at in (("better", better), ("worse", worse)) if at]
    return (
        f"{name}: MAE {first:.3g} to {last:.3g}{per}; against the best other model it is "
        f"{' and '.join(told) if told else 'not distinguishable at any size'}."
    )
