"""A section of a report: are the quantum kernels anything but Gaussians, and does it help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline

from qperov.evaluation.significance import (
    ROPE_SHARE,
    PairedTest,
    PracticalTest,
    bayesian_correlated_t_test,
    corrected_resampled_t_test,
    holm,
)
from qperov.evaluation.splits import honest_groups
from qperov.quantum.kernels.feature_map_kernel import FeatureMapKernel
from qperov.records.study import Chart, Reference, Study
from qperov.studies.kernel_findings import (
    CHOSEN,
    INNER_FOLDS,
    RBF_NAME,
    KernelAt,
    KernelProblem,
    at_bandwidth,
    cross_validated,
    diagnosis_table,
    entry_quantiles,
    nested_predictions,
    shot_table,
)
from qperov.studies.models import EPSILON

if TYPE_CHECKING:
    from qperov.datasets.dataset import CrystalDataset
    from qperov.evaluation.problem import Model

TITLE = "Is there anything quantum in it?"
#: So many crystals, drawn at random, are enough to see; the second for ``--quick``.
MOST, QUICK_MOST = 250, 120
FOLDS = 5
BANDWIDTHS = (0.03, 0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5)
QUICK_BANDWIDTHS = (0.05, 0.1, 0.2, 0.45, 1.0)
SHOTS, QUICK_SHOTS = (64, 256, 1024, 8192), (64, 512, 8192)
#: A kernel whose centred matrix makes this cosine with a Gaussian's is effectively one.
GAUSSIAN_ALREADY = 0.98
#: Shots are enough where they cost less R² than this.
ENOUGH = 0.05


def kernel_studies(
    models: Mapping[str, Model], dataset: CrystalDataset, *, quick: bool = False, seed: int = 0
) -> tuple[Study, ...]:
    """Diagnose the quantum kernels of compared models beside an RBF on the same components, bandwidths and folds.

    Parameters
    ----------
    models : mapping of str to Model
        The models of a comparison. Those are studied that tune a quantum kernel, on the descriptor of the first of
        them.
    dataset : CrystalDataset
        At most 250 of its crystals are taken (120 with ``quick``), drawn at random.
    quick : bool
        Fewer crystals, bandwidths and numbers of shots.
    seed : int
        Of the draw, the folds and the shots.

    Returns
    -------
    tuple of Study
        One that says why, where there is nothing to study.
    """
    quantum = [(m, m.kernel) for m in models.values() if m.family == "quantum" and m.kernel is not None]
    if not quantum or dataset.y is None:
        why = "no model searches over the bandwidth of a quantum kernel" if dataset.y is not None else "no labels"
        return (Study(TITLE, (f"Skipped: {why}.",)),)
    first, _ = quantum[0]
    rows = np.arange(len(dataset))
    if len(rows) > (most := QUICK_MOST if quick else MOST):
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    features = clone(first.featurizer).fit_transform([dataset.structures[i] for i in rows])
    y, groups = np.asarray(dataset.y, dtype=float)[rows], honest_groups(np.asarray(dataset.groups)[rows], [features])
    if (many := len(np.unique(groups))) < (needed := FOLDS * INNER_FOLDS) or np.ptp(y) == 0:
        why = "all labels are equal" if np.ptp(y) == 0 else f"{many} independent groups, and {needed} are needed"
        return (Study(TITLE, (f"Skipped: {why}.",)),)
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=seed).split(features, groups=groups))
    data = KernelProblem(features, Pipeline([*first.transformers]), y, groups, folds, EPSILON)
    own = {model.name: kernel for model, kernel in quantum if model.descriptor == first.descriptor}
    about = (
        f"{len(y)} of {len(dataset)} crystals, {first.descriptor}: the "
        "quantum kernels and a Gaussian (RBF) kernel use the same principal components, bandwidths b (1/b is the RBF's "
        f"length scale), penalties and {FOLDS} folds, which never separate symmetry copies or equal descriptors."
    )
    return (_study(data, own, about, dataset.unit, quick, seed),)


def _study(
    data: KernelProblem, own: dict[str, FeatureMapKernel], about: str, unit: str | None, quick: bool, seed: int
) -> Study:
    bandwidths = QUICK_BANDWIDTHS if quick else BANDWIDTHS
    kernels: dict[str, KernelAt] = {name: at_bandwidth(kernel) for name, kernel in own.items()}
    kernels[RBF_NAME] = lambda b: RBF(1 / b)
    grid = {name: [cross_validated(data, at(b)) for b in bandwidths] for name, at in kernels.items()}
    nested = {name: nested_predictions(data, scores) for name, scores in grid.items()}
    typical = {name: bandwidths[int(np.median(nested[name][1]))] for name in kernels}
    curve = pd.DataFrame(
        [
            (name, b, float(r2_score(data.y, score.predictions)))
            for name, scores in grid.items()
            for b, score in zip(bandwidths, scores, strict=True)
        ],
        columns=["kernel", "bandwidth", "r2"],
    )
    X = clone(data.components).fit_transform(data.features)
    scores, verdict = _score_table(data, nested, bandwidths, unit)
    diagnosis = diagnosis_table(X, data.y, own, kernels, typical)
    shots = shot_table(data, own, typical, QUICK_SHOTS if quick else SHOTS, seed)
    exact = {name: float(curve[(curve["kernel"] == name) & (curve["bandwidth"] == typical[name])]["r2"].iloc[0])
             for name in own}  # fmt: skip
    charts = (
        Chart(
            "Entries of the kernel matrix", "lines", "entries", "bandwidth", "entry", series="entries", panels="kernel",
            x_label="bandwidth b", y_label="entries off the diagonal", log_x=True,
            caption="At 1 all crystals look the same, at 0 all look unrelated; learning needs values in between.",
        ),
        Chart(
            "Score against the bandwidth", "lines", "curve", "bandwidth", "r2", series="kernel",
            x_label="bandwidth b", y_label="R², out of fold", log_x=True,
            caption="The penalty C is chosen on inner folds at every bandwidth. One fold assignment, no interval.",
        ),
        Chart(
            "Score against the number of shots", "lines", "Effect of shot noise", "shots", "R²", series="kernel",
            x_label="shots a circuit", y_label="R², out of fold", log_x=True,
            references=tuple(Reference(f"{name}, exact", value) for name, value in exact.items()),
            caption="Bandwidth: the median over folds of those chosen. Shot noise alone, without device noise.",
        ),
    )  # fmt: skip
    return Study(
        TITLE,
        (
            about,
            "Effective rank is the effective number of dimensions of a kernel matrix; target alignment its cosine with "
            "the ideal matrix of the labels; s / N the complexity of the model that fits the label; g the geometric "
            "difference to an RBF of median length scale, and to the closest RBF.",
            *verdict,
            *_kernel_sentences(diagnosis, len(data.y)),
            *_shot_sentences(shots, exact),
            _conclusion(scores, diagnosis),
        ),
        tables={
            "Scores, bandwidth and penalty chosen on inner folds": scores.drop(columns="significant"),
            "Diagnosis": diagnosis,
            "Effect of shot noise": shots,
        },
        charts=charts,
        data={"entries": entry_quantiles(X, kernels, bandwidths), "curve": curve},
        decimals={
            "R²": 3, "closest RBF": 3, "minimum shots": 0, "median entry": 3, "target alignment": 3,
            "better": 2, "equivalent": 2, "worse": 2,
        },
    )  # fmt: skip


# --- scores -------------------------------------------------------------------------------------


def _score_table(
    data: KernelProblem,
    nested: dict[str, tuple[np.ndarray, np.ndarray]],
    bandwidths: tuple[float, ...],
    unit: str | None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Nested scores beside the RBF's, with a sentence for each quantum kernel."""
    rope = ROPE_SHARE * float(data.y.std())
    share = float(np.mean([len(test) / len(train) for train, test in data.folds]))
    maes = {
        name: np.array([mean_absolute_error(data.y[test], p[test]) for _, test in data.folds])
        for name, (p, _) in nested.items()
    }
    tests: dict[str, tuple[PairedTest, PracticalTest]] = {
        name: (
            corrected_resampled_t_test(mae, maes[RBF_NAME], share),
            bayesian_correlated_t_test(mae, maes[RBF_NAME], share, rope),
        )
        for name, mae in maes.items()
        if name != RBF_NAME
    }
    p_holm = dict(zip(tests, holm([paired.p for paired, _ in tests.values()]), strict=True))
    rows, sentences, per = [], [], f" {unit}" if unit else ""
    for name, (predictions, chosen) in nested.items():
        row: dict[str, Any] = {
            "kernel": name,
            "bandwidths chosen": ", ".join(f"{bandwidths[i]:g}" for i in np.unique(chosen)),
            f"MAE{' / ' + unit if unit else ''}": float(maes[name].mean()),
            "R²": float(r2_score(data.y, predictions)),
        }
        if name in tests:
            paired, practical = tests[name]
            row |= {
                "ΔMAE to RBF": paired.difference, "better": practical.lower, "equivalent": practical.equivalent,
                "worse": practical.higher, "significant": bool(p_holm[name] < 0.05),
            }  # fmt: skip
            known = "is not distinguishable from an RBF"
            if row["significant"]:
                known = f"is {'better' if paired.difference < 0 else 'worse'} than an RBF"
            sentences.append(
                f"{name} {known} on the same components with the same search (ΔMAE "
                f"{_difference(paired)}{per} at 95 % confidence, R² {_r2(row['R²'])} against "
                f"{_r2(float(r2_score(data.y, nested[RBF_NAME][0])))}). Probability that it is better by more than "
                f"{rope:.2g}{per}, 1 % of the label's standard deviation: {practical.lower:.2f}; that "
                f"they are equivalent: {practical.equivalent:.2f}; that it is worse: {practical.higher:.2f}."
            )
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.assign(significant=table["significant"].fillna(False).astype(bool)), tuple(sentences)


def _difference(test: PairedTest) -> str:
    """Mean and half the 95 % interval, with the decimals of the latter's two digits."""
    half = (test.high - test.low) / 2
    places = 3 if half == 0 else max(0, 1 - int(np.floor(np.log10(half))))
    return f"{test.difference:+.{places}f} ± {half:.{places}f}".replace("-", "−")


# --- diagnosis ----------------------------------------------------------------------------------


def _kernel_sentences(diagnosis: pd.DataFrame, n: int) -> tuple[str, ...]:
    """What the diagnosis says at the bandwidths that were chosen."""
    sentences = []
    for row in diagnosis[diagnosis["chosen by"] == CHOSEN].to_dict(orient="records"):
        if row["kernel"] == RBF_NAME:
            continue
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
    return f"{shots:.0f}" if np.isfinite(shots) else "no number of"


# --- shots --------------------------------------------------------------------------------------


def _shot_sentences(shots: pd.DataFrame, exact: dict[str, float]) -> tuple[str, ...]:
    sentences = []
    for name, part in shots.groupby("kernel", sort=False):
        least, most, free = part.iloc[0], part.iloc[-1], exact[str(name)]
        enough = part[part["R²"] > free - ENOUGH]
        cost = "none of these numbers of shots comes"
        if len(enough):
            cost = f"{enough['shots'].iloc[0]} shots suffice to come"
        sentences.append(
            f"{name} measured with {least['shots']} shots a circuit has R² {_r2(least['R²'])}, with {most['shots']} "
            f"{_r2(most['R²'])}, and {_r2(free)} without shot noise at the same bandwidth; {cost} within {ENOUGH} of "
            f"that. {most['shots']} shots take {_millions(most['runs of circuits'])} million circuit runs for one "
            "matrix."
        )
    return tuple(sentences)


def _millions(runs: int) -> str:
    return f"{runs / 1e6:.3g}"


def _r2(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _conclusion(scores: pd.DataFrame, diagnosis: pd.DataFrame) -> str:
    """The answer to the question in the title."""
    quantum = scores[scores["kernel"] != RBF_NAME]
    better = quantum[quantum["significant"] & (quantum["ΔMAE to RBF"] < 0)]["kernel"].tolist()
    chosen = diagnosis[(diagnosis["chosen by"] == CHOSEN) & (diagnosis["kernel"] != RBF_NAME)]
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
