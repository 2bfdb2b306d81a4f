"""What the tables on the quantum autoencoder say, in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Losses of fidelity below this are rounding noise, and are drawn here.
LEAST = 1e-10
#: Differences of mean fidelities below this are none.
EQUAL = 1e-7


def split_sentence(twins: np.ndarray, train: np.ndarray, test: np.ndarray) -> str:
    """How many distinct vectors there are; ``twins`` numbers each crystal's, ``train`` and ``test`` are rows."""
    distinct, counts = np.unique(twins, return_counts=True)
    on_side = [len(np.unique(twins[rows])) for rows in (train, test)]
    return (
        f"The {len(twins)} crystals have only {len(distinct)} distinct vectors; the most common is "
        f"shared by {counts.max()} of them, so that few patterns dominate a mean over crystals. One split: "
        f"{len(train)} training crystals ({on_side[0]} distinct vectors), {len(test)} test crystals ({on_side[1]}); no "
        "symmetry class and no vector occurs on both sides."
    )


def verdicts_on_encoders(table: pd.DataFrame) -> tuple[str, ...]:
    """Each encoder against its baselines, and all of them against the linear one."""
    by_encoder = [f"{model} {lost(fidelity)}" for model, fidelity in zip(table["model"], table["test"], strict=True)]
    sizes = table.drop_duplicates("code_qubits")
    linear = [
        f"{row['n_qubits']}→{row['code_qubits']} {lost(row['linear'])}" for row in sizes.to_dict(orient="records")
    ]
    constant = table[table["test"] <= table["constant"]]["model"].tolist()
    below = table[table["test"] < table["linear"] - EQUAL]["model"].tolist()
    above = table[table["test"] > table["linear"] + EQUAL]["model"].tolist()
    losses = f"Mean fidelity lost on the test crystals: {', '.join(by_encoder)}. The linear autoencoder loses: "
    losses += f"{', '.join(linear)}. A constant state loses {lost(table['constant'].iloc[0])}."
    if constant:
        losses += f" No better than the constant state: {', '.join(constant)}."
    verdict = f"{len(below)} of {len(table)} quantum encoders are below the linear autoencoder of the same size"
    verdict += f" ({', '.join(below)})" if 0 < len(below) < len(table) else ""
    verdict += f"; above it: {', '.join(above)}." if above else "; none is above it."
    if not above:
        verdict += " Nothing is gained here over principal components, which need no training and no quantum computer."
    return losses, verdict


def lost(fidelity: float) -> str:
    """1 − fidelity with two significant digits."""
    if 1 - fidelity < LEAST:
        return f"under {LEAST:g}".replace("-", "−")
    return f"{1 - fidelity:#.2g}".replace("-", "−")


def dead_angles(name: str, dead: list[int]) -> str:
    """The angles of an encoder that have no effect."""
    angles = ", ".join(f"θ{k}" for k in dead)
    return f"{len(dead)} angles of the {name} encoder have no effect on its loss: {angles}."


def noise_verdicts(noise: pd.DataFrame, constant_loss: float) -> list[str]:
    """Where noise makes an encoder useless, and which encoder is most robust."""
    sentences = []
    for model, rows in noise.groupby("model", sort=False):
        lost = rows.loc[rows["preparation"] >= constant_loss, "noise"].tolist()
        sentences.append(
            f"The {model} encoder has {rows['n_gates'].iloc[0]} gates: loss {rows['preparation'].iloc[0]:#.2g} without "
            f"noise, {rows['preparation'].max():#.2g} under the strongest. It is no better than a noiseless constant "
            f"state ({constant_loss:.2g}) {'with: ' + '; '.join(lost) if lost else 'at none of these levels'}."
        )
    best = noise.loc[noise.groupby("noise", sort=False)["preparation"].idxmin()].set_index("noise")["model"]
    if best.nunique() > 1:
        sentences += [
            f"The {name} encoder has the smallest loss with: {'; '.join(where.index)}."
            for name, where in best.groupby(best)
        ]
    return sentences
