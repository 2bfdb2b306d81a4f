"""The quantum autoencoder's sections of a report: compression, noise, and the energy read from the code."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit

from qperov.descriptors.featurizer import PXRDFeaturizer
from qperov.errors import DescriptorError
from qperov.evaluation.metrics import ceiling_r2
from qperov.evaluation.splits import honest_groups, identical_rows
from qperov.quantum.autoencoder.compression import amplitudes, constant_state_fidelities
from qperov.records.study import Chart, Reference, Study
from qperov.reports.words.autoencoder_findings import (
    LEAST,
    dead_angles,
    lost,
    noise_verdicts,
    split_sentence,
    verdicts_on_encoders,
)
from qperov.studies.autoencoder_findings import SHOTS, AutoencoderFindings, autoencoder_findings

if TYPE_CHECKING:
    from qperov.datasets.dataset import CrystalDataset

TITLE, KIND = "Quantum autoencoder", "autoencoder"
#: How an encoder is trained, by whether it is the published one.
TRAINING = {True: "as published: crystal by crystal", False: "all crystals at once, L-BFGS"}
#: Share of the groups that is held out.
TEST_SIZE = 0.25
#: Fewer groups than this are too few to train and test on.
FEWEST_GROUPS = 6
#: Passes of the entangling encoders' training; the second for ``--quick``.
EPOCHS, QUICK_EPOCHS = 200, 60


def autoencoder_studies(dataset: CrystalDataset, *, quick: bool = False, seed: int = 0) -> tuple[Study, ...]:
    """Train encoders on one honest split of a dataset, and compare them with their baselines.

    Parameters
    ----------
    dataset : CrystalDataset
        One crystal a symmetry class, or more: no class and no two equal vectors are on both sides of the split.
    quick : bool
        Shorter training, and no energy from the code.
    seed : int
        Of the split and of every training.

    Returns
    -------
    tuple of Study
        One that says why, where the crystals' vectors allow no study.
    """
    try:
        vectors = PXRDFeaturizer("autoencoder").fit_transform(dataset.structures)
    except DescriptorError as error:
        return (Study(TITLE, (f"Skipped: {error}.",), kind=KIND),)
    twins = identical_rows(vectors)
    groups = honest_groups(dataset.groups, [vectors])
    if (many := len(np.unique(groups))) < FEWEST_GROUPS:
        reason = f"Skipped: the crystals' vectors fall into {many} independent groups, and {FEWEST_GROUPS} are needed."
        return (Study(TITLE, (reason,), kind=KIND),)
    splitter = GroupShuffleSplit(1, test_size=TEST_SIZE, random_state=seed)
    train, test = next(splitter.split(vectors, groups=groups))
    heads = not quick and dataset.y is not None and find_spec("torch") is not None
    labels = (dataset.y[train], dataset.y[test]) if heads else ()  # type: ignore[index]
    findings = autoencoder_findings(
        vectors[train], vectors[test], *labels, epochs=QUICK_EPOCHS if quick else EPOCHS, seed=seed
    )
    train_states, test_states = (amplitudes(vectors[rows], _qubits(findings)) for rows in (train, test))
    constant_loss = float(1 - (constant_state_fidelities(train_states, train_states) ** 2).mean())
    studies = [
        _compression_study(findings, split_sentence(twins, train, test), constant_loss),
        _noise_study(findings, 1 - float((constant_state_fidelities(train_states, test_states) ** 2).mean())),
    ]
    if dataset.y is not None:
        ceiling = ceiling_r2(dataset.y, twins)
        studies.append(_energy_study(findings, len(np.unique(twins)), ceiling, dataset, quick))
    return tuple(studies)


def _qubits(findings: AutoencoderFindings) -> int:
    return int(findings.compression["n_qubits"].iloc[0])


# --- compression --------------------------------------------------------------------------------


def _compression_study(findings: AutoencoderFindings, split: str, constant_loss: float) -> Study:
    table, n_qubits = findings.compression, _qubits(findings)
    shown = pd.DataFrame(
        {
            "encoder": table["model"],
            "train": table["train"],
            "test": table["test"],
            "worst test crystal": table["test_least"],
            "constant state": table["constant"],
            "linear autoencoder": table["linear"],
            "spectral bound": table["bound"],
            "training, s": table["seconds"],
        }
    )
    # (what is drawn, its family, column, rows)
    entangling = table["ansatz"] == "entangling"
    curves = [
        ("linear autoencoder", "classical", "linear", entangling),
        ("entangling encoder", "quantum", "test", entangling),
        ("spectral bound", "reference", "bound", entangling),
        ("published encoder", "quantum", "test", ~entangling),
    ]
    curve = pd.concat(
        [
            pd.DataFrame(
                {"encoder": name, "family": family, "code qubits": rows["code_qubits"], "lost": 1 - rows[column]}
            )
            for name, family, column, mask in curves
            if len(rows := table[mask].sort_values("code_qubits"))
        ],
        ignore_index=True,
    )
    fidelities = findings.fidelities.assign(lost=1 - findings.fidelities["fidelity"], family="quantum")
    losses = findings.losses.assign(training=findings.losses["ansatz"].eq("published").map(TRAINING), family="quantum")
    constant = Reference("constant state", float(1 - table["constant"].iloc[0]))
    charts = (
        Chart(
            "Fidelity against the size of the code", "lines", "curve", "code qubits", "lost", series="encoder",
            x_label="qubits of the code", y_label="1 − mean fidelity, test", references=(constant,), log_y=True,
            least=LEAST,
            caption=f"Lower is better. Values {lost(1.0)} are rounding noise and are drawn at that level.",
        ),
        Chart(
            "Fidelity of each crystal", "histogram", "fidelities", "lost", series="split", panels="model",
            x_label="1 − fidelity (left is better)", y_label="share of the crystals", log_x=True, least=LEAST,
            references=(Reference("constant state, mean", constant.value, "x"),),
            caption="Crystals with the same vector fall into the same bar.",
        ),
        Chart(
            "Loss while training", "lines", "losses", "epoch", "loss", series="model", panels="training",
            x_label="passes over the training crystals", y_label="loss, train", shared_x=False, log_y=True,
            references=(Reference("constant state", constant_loss),),
            caption="Loss: the probability of measuring the trash qubits in a state other than |0…0⟩.",
        ),
    )  # fmt: skip
    losses_text, verdict = verdicts_on_encoders(table)
    paragraphs = (
        verdict,
        "A powder pattern's vector, I/2θ of its first 32 peaks with 1.5 < I < 70, is encoded in the amplitudes of "
        f"{n_qubits} qubits; a quantum circuit compresses it to fewer qubits and reconstructs it. Fidelity is √⟨z|ρ|z⟩ "
        "of the vector and its reconstruction, 1 where nothing is lost. For comparison, on the same test crystals: one "
        "constant state, independent of the crystal; a classical linear autoencoder (as many principal components as "
        "the code has amplitudes); and the spectral bound, an upper bound for any encoder.",
        split,
        losses_text,
        *(dead_angles(name, dead) for name, dead in findings.dead.items() if dead),
    )
    return Study(
        f"{TITLE}: compression",
        paragraphs,
        tables={"Mean fidelity": shown},
        charts=charts,
        data={"curve": curve, "fidelities": fidelities, "losses": losses},
        decimals=dict.fromkeys(shown.columns[1:-1], 5),
        kind=KIND,
    )


# --- noise --------------------------------------------------------------------------------------


def _noise_study(findings: AutoencoderFindings, constant_loss: float) -> Study:
    noise = findings.noise.assign(noise=_noise_names(findings.noise))
    shown = pd.DataFrame(
        {
            "encoder": noise["model"],
            "noise": noise["noise"],
            "gates": noise["n_gates"],
            "noisy encoder": noise["encoder"],
            "noisy preparation too": noise["preparation"],
            f"and {SHOTS} shots": noise["shots"],
        }
    )
    long = noise.melt(["model", "noise"], ["encoder", "preparation"], var_name="where", value_name="loss")
    verdicts, encoders = noise_verdicts(noise, constant_loss), noise["model"].nunique()
    long["family"] = "quantum"
    long["where"] = long["where"].map({"encoder": "noisy encoder", "preparation": "noisy preparation too"})
    chart = Chart(
        "Loss under noise", "bars", "noise", "loss", "noise", series="where", panels="model",
        x_label="loss, test", references=(Reference("constant state, no noise", constant_loss, "x"),),
        caption="p: depolarising, γ: amplitude damping, after each gate on each of its qubits; r: readout error.",
    )  # fmt: skip
    return Study(
        f"{TITLE}: noise",
        (
            " ".join(verdicts[:encoders]),
            "The trained encoders under the noise of imperfect devices. The loss is the probability of measuring the "
            "trash qubits in a state other than |0…0⟩; it involves the trash qubits alone, and is not comparable with "
            "a fidelity. State preparation takes gates too, which are noisy in the second column.",
            *verdicts[encoders:],
        ),
        tables={"Loss on the test crystals": shown},
        charts=(chart,),
        data={"noise": long},
        decimals=dict.fromkeys(shown.columns[3:], 5),
        kind=KIND,
    )


def _noise_names(noise: pd.DataFrame) -> list[str]:
    names = (("p", "depolarising"), ("γ", "amplitude_damping"), ("r", "readout"))
    return [
        ", ".join(f"{short}\u00a0=\u00a0{row[column]:g}" for short, column in names if row[column]) or "no noise"
        for _, row in noise.iterrows()
    ]


# --- energy -------------------------------------------------------------------------------------


def _energy_study(
    findings: AutoencoderFindings, distinct: int, ceiling: float, dataset: CrystalDataset, quick: bool
) -> Study:
    title, unit = f"{TITLE}: the label read from the code", f" / {dataset.unit}" if dataset.unit else ""
    if findings.energy is None or findings.predictions is None:
        why = "Skipped in a quick run." if quick else "Skipped: this needs torch (pip install 'qperov[torch]')."
        return Study(title, (why,), kind=KIND)
    energy, predictions = findings.energy, findings.predictions
    median = str(energy["model"].iloc[0])
    shown = energy.pivot(index="model", columns="split", values=["mae", "r2"]).reindex(energy["model"].unique())
    table = pd.DataFrame(
        {
            "model": shown.index,
            f"MAE, train{unit}": shown[("mae", "train")].to_numpy(),
            f"MAE, test{unit}": shown[("mae", "test")].to_numpy(),
            "R², train": shown[("r2", "train")].to_numpy(),
            "R², test": shown[("r2", "test")].to_numpy(),
        }
    )
    test = energy[energy["split"] == "test"].set_index("model")
    verdicts = [
        f"{name}: test MAE {row['mae']:#.3g} (median {test.loc[median, 'mae']:#.3g}), R² {row['r2']:.2f}."
        for name, row in test.iterrows()
        if name != median
    ]
    bound = f"; no function of them can exceed R² = {ceiling:.2f} on all {len(dataset)} crystals" if ceiling < 1 else ""
    chart = Chart(
        "Predicted against true", "scatter", "predictions", "true", "predicted", series="split", panels="model",
        x_label=f"true {dataset.target}{unit}", y_label=f"predicted{unit}",
        references=(Reference("perfect", axis="diagonal"), Reference(median, float(predictions["predicted"].iloc[0]))),
        caption="Crystals with the same vector get the same prediction.",
    )  # fmt: skip
    return Study(
        title,
        (
            "A small network is trained to predict the label from the code's expectation values, on the training "
            f"crystals of the same split. There are {distinct} distinct vectors{bound}.",
            f"{' '.join(verdicts)} One split and no interval: differences of a few per cent are not meaningful.",
        ),
        tables={"Error of the regression heads": table},
        decimals=dict.fromkeys(table.columns[3:], 3),
        kind=KIND,
        charts=(chart,),
        data={"predictions": predictions[predictions["model"] != median].reset_index(drop=True)},
    )
