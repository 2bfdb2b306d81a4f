"""A section of a report: how well generators reconstruct compositions held out, and predict their property."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from qperov.evaluation.metrics import bootstrap_weights, scores
from qperov.records.study import Chart, Reference, Study
from qperov.reports.words.introduction import listed
from qperov.studies.inverse_design.results import HeldOut, Target, TrainedGenerator, short_number

TITLE = "Generators: reconstruction and property"
#: Resamples of the intervals.
BOOTSTRAP = 2000
#: Quantity of a reconstruction → its heading, TL-VAE's Table 1 (NaN: not comparable) and what is aimed at.
QUANTITIES = {
    "lattice": ("lattice, Å", 0.82, 0.3),
    "angles": ("angles, °", 5.3, 2.0),
    "coordinates": ("coordinates", 0.136, 0.05),
    "species": ("species right", np.nan, 0.95),
}
PUBLISHED_DATA = "27,587 perovskites of the OQMD"
PUBLISHED = "TL-VAE, published"
#: TL-VAE's scores for formation energies: MAE (eV/atom), R².
PUBLISHED_SCORES = (0.125, 0.96)
#: R² aimed at.
AIM_R2 = 0.95
#: What stands beside the models' reconstructions, and the row of constants beside their property heads.
ONE_FOR_ALL = "one training crystal for all"
CONSTANT = "mean of the training labels"


def training_study(
    target: Target, held: HeldOut, trained: Mapping[str, TrainedGenerator], *, random_state: int = 0
) -> Study:
    """Learning curves, reconstruction and property heads on held-out compositions.

    Parameters
    ----------
    target : Target
    held : HeldOut
    trained : mapping of str to TrainedGenerator
    random_state : int
        Of the bootstrap.
    """
    weights = bootstrap_weights(held.groups, BOOTSTRAP, random_state)
    errors = {name: model.reconstruction for name, model in trained.items()}
    reconstruction = reconstruction_table({**errors, ONE_FOR_ALL: held.one_for_all}, weights)
    heads = {f"{name}, property head": m.predicted for name, m in trained.items() if m.predicted is not None}
    energy = target.unit == "eV/atom" and "formation" in target.name
    properties = property_table(held.y, {**held.predictions, **heads}, weights, target, published=energy)
    curves = pd.DataFrame(
        [
            (panel, part, epoch, value)
            for name, model in trained.items()
            for panel, part, losses in learning_curves(name, model.history)
            for epoch, value in enumerate(losses, start=1)
        ],
        columns=["model", "crystals", "epoch", "loss"],
    )
    parity = pd.DataFrame(
        [(name, true, found) for name, values in heads.items() for true, found in zip(held.y, values, strict=True)],
        columns=["model", "label", "predicted"],
    )
    charts = [
        Chart(
            "Learning curves", "lines", "curves", "epoch", "loss", series="crystals", panels="model",
            x_label="epoch", y_label="loss", log_y=bool((curves["loss"] > 0).all()), shared_x=False,
            caption="The whole loss, with the weights of each model: curves of two models cannot be compared. The "
            "weights of the epoch with the lowest loss on the crystals kept back are the model's.",
        )
    ]  # fmt: skip
    if heads:
        charts.append(
            Chart(
                "Property heads on held-out compositions", "scatter", "parity", "label", "predicted", panels="model",
                x_label=f"label: {target.axis}", y_label="predicted", references=(Reference("equal", axis="diagonal"),),
            )
        )  # fmt: skip
    elsewhere = f"; {PUBLISHED}, of {PUBLISHED_DATA}"
    times = [f"{name} {model.seconds:.0f} s" for name, model in trained.items() if np.isfinite(model.seconds)]
    return Study(
        TITLE,
        (
            f"{held.n_train} crystals of {target.dataset} were trained on, {len(held.y)} held out; no formula is on "
            f"both sides. {f'Training took {listed(times)}. ' if times else ''}Intervals: 95 %, bootstrap over the "
            "held-out formulas; the training itself was not repeated.",
            "Reconstruction: a crystal is encoded and decoded again. Mean errors of edges, angles and fractional "
            "coordinates of sites matched one to one; species right is the share of sites with the right element; what "
            "could not be decoded counts there as wrong and nowhere else. The row “"
            f"{ONE_FOR_ALL}” is what a model that knows one cell alone would reach.",
            *_reconstruction_sentences(reconstruction, target.dataset),
            *_property_sentences(properties, heads, target),
        ),
        tables={
            f"Reconstruction of held-out compositions of {target.dataset}{elsewhere}": reconstruction,
            f"{target.name.capitalize()} of held-out compositions of {target.dataset}"
            f"{elsewhere if energy else ''}": properties,
        },
        charts=tuple(charts),
        data={"curves": curves, "parity": parity},
    )


def learning_curves(name: str, history: Mapping[str, Sequence[float]]) -> list[tuple[str, str, Sequence[float]]]:
    """Panel, part of the crystals and losses of each network of a model; parts trained before have names of their own,
    such as "cell" in ``cell.loss``."""
    parts = {"loss": "crystals learnt from", "validation_loss": "crystals kept back to stop by"}
    found = []
    for key, losses in history.items():
        network, _, term = key.rpartition(".")
        if term in parts and not network.startswith("validation_"):
            found.append((f"{name}, {network}" if network else name, parts[term], losses))
    return sorted(found, key=lambda curve: curve[0] == name)


# --- tables -------------------------------------------------------------------------------------


def reconstruction_table(errors: Mapping[str, pd.DataFrame], weights: np.ndarray) -> pd.DataFrame:
    """Mean errors of each model with their intervals, TL-VAE's Table 1 below.

    Parameters
    ----------
    errors : mapping of str to DataFrame
        Of ``reconstruction_errors``.
    weights : ndarray, shape (b, m)
        Of the bootstrap.
    """
    rows = []
    for name, table in errors.items():
        row: dict[str, object] = {"model": name}
        for quantity, (heading, _, _) in QUANTITIES.items():
            mean, low, high = weighted_mean(table[quantity].to_numpy(dtype=float), weights)
            row |= {heading: mean, f"{heading}: 95 %": _interval(low, high)}
        rows.append(row | {"not decoded": float(table["undecodable"].mean())})
    published = {heading: known for heading, known, _ in QUANTITIES.values()}
    rows.append({"model": PUBLISHED, **published})
    table = pd.DataFrame(rows)
    texts = [column for column in table if str(column).endswith("95 %")]
    return table.assign(**{column: table[column].fillna("not stated") for column in texts})


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Mean of the numbers among values and its 95 % interval; three NaN where there is none."""
    known = np.isfinite(values)
    if not known.any():
        return np.nan, np.nan, np.nan
    total = weights[:, known].sum(axis=1)
    drawn = (weights[:, known] @ values[known])[total > 0] / total[total > 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(values[known].mean()), float(low), float(high)


def property_table(
    y: np.ndarray, predictions: Mapping[str, np.ndarray], weights: np.ndarray, target: Target, *, published: bool
) -> pd.DataFrame:
    """MAE and R² of each prediction with intervals; TL-VAE's below where it is the same property."""
    rows = []
    for name, values in predictions.items():
        found = scores(y, values[None], weights)
        row: dict[str, object] = {"predicted by": name}
        for heading, key in ((f"MAE{f', {target.unit}' if target.unit else ''}", "mae"), ("R²", "r2")):
            score = found[key]
            row |= {heading: score.value, f"{heading}: 95 %": _interval(score.low, score.high)}
        rows.append(row)
    if published:
        mae, r2 = PUBLISHED_SCORES
        rows.append({"predicted by": PUBLISHED, "MAE, eV/atom": mae, "R²": r2})
    table = pd.DataFrame(rows)
    texts = [column for column in table if str(column).endswith("95 %")]
    return table.assign(**{column: table[column].fillna("not stated") for column in texts})


def _interval(low: float, high: float) -> str:
    return f"{short_number(low)} to {short_number(high)}" if np.isfinite(low) else "–"


# --- sentences ----------------------------------------------------------------------------------


def _reconstruction_sentences(table: pd.DataFrame, dataset: str) -> tuple[str, ...]:
    """Each model against the aims, and beside the published figures and the constant."""
    by_model = table.set_index("model")
    constant = by_model.loc[ONE_FOR_ALL]
    aims = listed([f"{quantity} {_measured(quantity, aim)}" for quantity, (_, _, aim) in QUANTITIES.items()])
    models = by_model.drop(index=[ONE_FOR_ALL, PUBLISHED])
    told = " ".join(_against_aims(str(name), row, constant) for name, row in models.iterrows())
    return (
        f"Aims set beforehand: {aims}. {told}",
        f"TL-VAE's figures are of another data set ({PUBLISHED_DATA}) than {dataset}: side by side they say little of "
        "the models.",
    )


def _against_aims(name: str, row: pd.Series, constant: pd.Series) -> str:
    """What a model reaches of the aims, and where it is no better than one crystal for all."""
    if row["not decoded"] == 1:
        return f"{name} decoded nothing."
    reached: list[str] = []
    missed: list[str] = []
    worse: list[str] = []
    for quantity, (heading, _, aim) in QUANTITIES.items():
        sign = -1 if quantity == "species" else 1
        met = sign * row[heading] <= sign * aim
        (reached if met else missed).append(f"{quantity} {_measured(quantity, row[heading])}")
        if sign * row[heading] >= sign * constant[heading]:
            worse.append(quantity)
    text = f"{name} reaches all four ({listed(reached)})" if not missed else f"{name} misses {listed(missed)}"
    if missed and reached:
        text += f", and reaches {listed(reached)}"
    return text + (f"; it is no better than {ONE_FOR_ALL} in {listed(worse)}." if worse else ".")


def _measured(quantity: str, value: float) -> str:
    if quantity == "species":
        return f"{100 * value:.0f} %"
    return short_number(value) + {"lattice": " Å", "angles": "°"}.get(quantity, "")


def _property_sentences(table: pd.DataFrame, heads: Mapping[str, np.ndarray], target: Target) -> tuple[str, ...]:
    """The best head against R² aimed at, and against what is no generator."""
    if not heads:
        return ()
    by_name = table.set_index("predicted by")
    others = by_name.drop(index=[*heads, PUBLISHED, CONSTANT], errors="ignore")
    best = str(by_name.loc[list(heads), "R²"].idxmax())
    reached = "reaches" if by_name.loc[best, "R²"] >= AIM_R2 else "does not reach"
    score = short_number(by_name.loc[best, "R²"])
    text = f"{best}: R² {score} on held-out compositions, which {reached} the aim of {AIM_R2}"
    if len(others):
        rival = str(others["R²"].idxmax())
        text += f"; {rival}, which generates nothing, has R² {short_number(others.loc[rival, 'R²'])}"
    return (f"{text}.",)
