"""What the diagnosis of quantum kernels says, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from qperov.evaluation.significance import CERTAIN, PairedTest, PracticalTest
from qperov.reports.words.number_format import decimals, fixed, significant

#: A kernel whose centred matrix makes this cosine with a Gaussian's is effectively one.
GAUSSIAN_ALREADY = 0.98
#: The surrogate that is the same feature map without its entanglement, and what tells it from the map.
TWIN, ENTANGLED = "without entanglement", 1e-9
#: So many kernels are named of which nothing is left.
FEW_NAMES = 2
#: A difference of scores has no more decimals.
MOST_DECIMALS = 5
#: Shots are enough where they cost less R² than this.
ENOUGH = 0.05


def score_sentence(
    name: str,
    paired: PairedTest,
    practical: PracticalTest,
    significant: bool,
    r2: tuple[float, float],
    rope: float,
    unit: str | None,
) -> str:
    """A kernel against an RBF on the same folds; ``r2`` are the kernel's and the RBF's."""
    per, verdict = f" {unit}" if unit else "", "is not distinguishable from an RBF"
    if significant:
        verdict = f"is {'better' if paired.difference < 0 else 'worse'} than an RBF"
    return (
        f"{name} {verdict} on the same components with the same search (ΔMAE {_difference(paired)}{per} at 95 % "
        f"confidence, R² {fixed(r2[0], 2)} against {fixed(r2[1], 2)}). Probability that it is better by more than "
        f"{rope:.2g}{per}, 5 % of the best constant's MAE: {practical.lower:.2f}; that they are equivalent: "
        f"{practical.equivalent:.2f}; that it is worse: {practical.higher:.2f}."
    )


def kernel_sentences(chosen: pd.DataFrame, n: int) -> tuple[str, ...]:
    """What the diagnosis of quantum kernels of n crystals says at the bandwidths that were chosen."""
    sentences = []
    for row in chosen.to_dict(orient="records"):
        alike = row["closest RBF"]
        name = "effectively a Gaussian" if alike >= GAUSSIAN_ALREADY else "not a Gaussian of a single width"
        sentences.append(
            f"{row['kernel']} at b = {row['bandwidth']:.3g}: its matrix has a cosine of "
            f"{alike:.3f} with that of the closest RBF (it is {name}), and the smallest geometric difference to any "
            f"RBF is g = {row['least g to any RBF']:.2g}: at 1 no target favours it, and an advantage needs about "
            f"√N = {np.sqrt(n):.3g}. Its entries have a standard deviation of {row['spread']:.2g} and a median of "
            f"{row['median entry']:.2f}; {_count(row['minimum shots'])} shots resolve them, but a good score may need "
            "far more."
        )
    return tuple(sentences)


def _count(shots: float) -> str:
    return f"{shots:.0f}" if math.isfinite(shots) else "no number of"


def shot_sentences(shots: pd.DataFrame, exact: dict[str, float]) -> tuple[str, ...]:
    """What finitely many shots cost each kernel, whose R² without shot noise is ``exact``."""
    sentences = []
    for name, part in shots.groupby("kernel", sort=False):
        least, most, free = part.iloc[0], part.iloc[-1], exact[str(name)]
        enough = part[part["R²"] > free - ENOUGH]
        cost = "none of these numbers of shots comes"
        if len(enough):
            cost = f"{enough['shots'].iloc[0]} shots suffice to come"
        sentences.append(
            f"{name} measured with {least['shots']} shots per circuit has R² {fixed(least['R²'], 2)}, with "
            f"{most['shots']} {fixed(most['R²'], 2)}, and {fixed(free, 2)} without shot noise at the same bandwidth; "
            f"{cost} within {ENOUGH} of that. {most['shots']} shots take {most['runs of circuits'] / 1e6:.3g} million "
            "circuit runs for one matrix."
        )
    return tuple(sentences)


def conclusion(scores: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """The answer to the question in the title."""
    better = scores[scores["significant"] & (scores["ΔMAE to RBF"] < 0)]["kernel"].tolist()
    gaussian = chosen[chosen["closest RBF"] >= GAUSSIAN_ALREADY]["kernel"].tolist()
    if better:
        text = f"Significantly better than an RBF on these folds: {', '.join(better)}."
        text += (
            " That is a better kernel for these labels, not a quantum advantage: all of it was computed classically."
        )
    else:
        text = "No quantum kernel is significantly better than an RBF here."
    if gaussian:
        text += f" Effectively a Gaussian at the chosen bandwidth: {', '.join(gaussian)}."
    if others := [name for name in chosen["kernel"] if name not in gaussian]:
        text += f" Different from every Gaussian: {', '.join(others)}"
        text += "." if better else "; there is no evidence that this helps on these crystals."
    return text


def _difference(test: PairedTest) -> str:
    """Mean and half the 95 % interval, with the decimals of the latter's two digits."""
    half = (test.high - test.low) / 2
    places = 3 if half == 0 else max(0, 1 - int(np.floor(np.log10(half))))
    return f"{fixed(test.difference, places, sign=True)} ± {fixed(half, places)}"


# --- surrogates ---------------------------------------------------------------------------------


def interval_text(row: Mapping[str, Any]) -> str:
    """``delta`` with ``low`` and ``high``, as in "−0.003 [−0.006 … 0.000]"; "" where there is none."""
    delta, low, high = row["delta"], row["low"], row["high"]
    if math.isnan(delta):
        return ""
    places = min(decimals(delta, low, high), MOST_DECIMALS)
    return "{} [{} … {}]".format(*(fixed(value, places, sign=True) for value in (delta, low, high)))


def surrogate_sentence(setting: str, own: pd.DataFrame, classical: pd.DataFrame, unit: str) -> str:
    """One quantum kernel, whose rows are ``own``, beside the best of its classical surrogates."""
    quantum, per = own.iloc[0], f" {unit}" if unit else ""
    best = _best_surrogate(own[own.index.isin(classical.index)])
    text = (
        f"{quantum['kernel']}, {setting}: MAE {significant(quantum['mae'])}{per}. Its best classical surrogate, "
        f"{best['surrogate']}, has {significant(best['mae'])}{per} and a centred alignment of {best['alignment']:.3f} "
        f"with it; quantum against surrogate: {best['outcome']} (ΔMAE {interval_text(best)}{per})."
    )
    if (own.loc[own["surrogate"] == TWIN, "alignment"] > 1 - ENTANGLED).any():
        return f"{text} Its map does not entangle: it is a classical kernel already."
    for row in own[~own.index.isin(classical.index)].iloc[1:].to_dict(orient="records"):
        text += f" Random orders of its qubits scatter by {significant(row['spread'], 2)}{per}."
    return text


def surrogate_conclusion(classical: pd.DataFrame, unit: str) -> str:
    """The answer to what is left to call quantum, from the rows of all classical surrogates.

    Of a kernel nothing is left if it is better than its best surrogate, by more than matters, with a probability of 5 %
    at most.
    """
    best = [_best_surrogate(part) for _, part in classical.groupby("kernel", sort=False)]
    left = [row for row in best if row["outcome"].endswith("better")]
    nothing = [row for row in best if row["better"] <= 1 - CERTAIN]
    open_ = [row for row in best if not row["outcome"].endswith("better") and row["better"] > 1 - CERTAIN]
    if len(nothing) == len(best):
        return "Nothing that these classical kernels lack: beside every quantum kernel one of them does as well."
    per = f" {unit}" if unit else ""
    parts = [
        f"{significant(-row['delta'], 2)}{per} of MAE of {row['kernel']}, which none of its classical surrogates "
        f"reaches ({row['outcome']}; all of it was computed classically)"
        for row in left
    ]
    parts += [
        f"undecidable for {row['kernel']} with so few crystals (ΔMAE {interval_text(row)}{per} to its best surrogate)"
        for row in open_
    ]
    if nothing:
        named = " and ".join(str(row["kernel"]) for row in nothing)
        parts.append(
            f"nothing of {named if len(nothing) <= FEW_NAMES else f'the other {len(nothing)} quantum kernels'}"
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _best_surrogate(classical: pd.DataFrame) -> pd.Series:
    return classical.loc[classical["mae"].idxmin()]
