"""A section of a report: are the quantum kernels anything but Gaussians, and does it help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from qperov.evaluation.significance import (
    ROPE,
    PairedTest,
    PracticalTest,
    bayesian_correlated_t_test,
    corrected_resampled_t_test,
    holm,
    region_half_width,
)
from qperov.evaluation.splits import honest_groups
from qperov.quantum.kernels.feature_map_kernel import FeatureMapKernel
from qperov.records.study import Chart, Reference, Study
from qperov.reports.words.kernel_findings import conclusion, kernel_sentences, score_sentence, shot_sentences
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
from qperov.studies.kernel_matrices import chosen_kernel, most_chosen
from qperov.studies.regressors import EPSILON

if TYPE_CHECKING:
    from qperov.datasets.dataset import Dataset
    from qperov.evaluation.problem import Model
    from qperov.evaluation.results import Comparison

TITLE = "Is there anything quantum in it?"
#: So many crystals, drawn at random, are enough to see; the second for ``--quick``.
MOST, QUICK_MOST = 250, 120
FOLDS = 5
BANDWIDTHS = (0.03, 0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5)
QUICK_BANDWIDTHS = (0.05, 0.1, 0.2, 0.45, 1.0)
SHOTS, QUICK_SHOTS = (64, 256, 1024, 8192), (64, 512, 8192)


def kernel_studies(
    models: Mapping[str, Model],
    dataset: Dataset,
    comparison: Comparison | None = None,
    *,
    quick: bool = False,
    seed: int = 0,
) -> tuple[Study, ...]:
    """Diagnose the quantum kernels of compared models beside an RBF on the same components, bandwidths and folds.

    Parameters
    ----------
    models : mapping of str to Model
        The models of a comparison. Those are studied that tune a quantum kernel, on the descriptor of the first of
        them.
    dataset : CrystalDataset or PatternDataset
        At most 250 of its crystals are taken (120 with ``quick``), drawn at random.
    comparison : Comparison, optional
        What ``qperov.compare`` gave for the models: feature maps, entanglement and whitening are those that most folds
        chose. Without it they are those that the models' kernels have.
    quick : bool
        Fewer crystals, bandwidths and numbers of shots.
    seed : int
        Of the draw, the folds and the shots.

    Returns
    -------
    tuple of Study
        One that says why, where there is nothing to study.
    """
    quantum = [(name, m) for name, m in models.items() if m.family == "quantum" and m.kernel is not None]
    if not quantum or dataset.y is None:
        why = "no model searches over the bandwidth of a quantum kernel" if dataset.y is not None else "no labels"
        return (Study(TITLE, (f"Skipped: {why}.",)),)
    first_name, first = quantum[0]
    choices = {name: (most_chosen(comparison, name) if comparison is not None else None) or {} for name, _ in quantum}
    whiten = bool(choices[first_name].get("with_std", False))
    rows = np.arange(len(dataset))
    if len(rows) > (most := QUICK_MOST if quick else MOST):
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    features = clone(first.featurizer).fit_transform([dataset.samples[i] for i in rows])
    y, groups = np.asarray(dataset.y, dtype=float)[rows], honest_groups(np.asarray(dataset.groups)[rows], [features])
    if (many := len(np.unique(groups))) < (needed := FOLDS * INNER_FOLDS) or np.ptp(y) == 0:
        why = "all labels are equal" if np.ptp(y) == 0 else f"{many} independent groups, and {needed} are needed"
        return (Study(TITLE, (f"Skipped: {why}.",)),)
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=seed).split(features, groups=groups))
    scale = ("whiten", StandardScaler(with_mean=False, with_std=whiten))
    data = KernelProblem(features, Pipeline([*first.transformers, scale]), y, groups, folds, EPSILON)
    own = {
        model.name: cast(FeatureMapKernel, chosen_kernel(model, choices[name]))
        for name, model in quantum
        if model.descriptor == first.descriptor
    }
    maps = "; ".join(f"{name}: {kernel.feature_map} map, {kernel.entanglement}" for name, kernel in own.items())
    about = (
        f"{len(y)} of {len(dataset)} crystals, {first.descriptor}: the quantum kernels ({maps}) and a Gaussian (RBF) "
        f"kernel use the same {'whitened ' if whiten else ''}principal components, bandwidths b (1/b is the RBF's "
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
    chosen = diagnosis[(diagnosis["chosen by"] == CHOSEN) & (diagnosis["kernel"] != RBF_NAME)]
    shots = shot_table(data, own, typical, QUICK_SHOTS if quick else SHOTS, seed)
    exact = {name: float(curve[(curve["kernel"] == name) & (curve["bandwidth"] == typical[name])]["r2"].iloc[0])
             for name in own}  # fmt: skip
    charts = (
        Chart(
            "Score against the bandwidth", "lines", "curve", "bandwidth", "r2", series="kernel",
            x_label="bandwidth b", y_label="R², out of fold", log_x=True,
            caption="The penalty C is chosen on inner folds at every bandwidth. One fold assignment, no interval.",
        ),
        Chart(
            "Entries of the kernel matrix", "lines", "entries", "bandwidth", "entry", series="entries", panels="kernel",
            x_label="bandwidth b", y_label="entries off the diagonal", log_x=True,
            caption="At 1 all crystals look the same, at 0 all look unrelated; learning needs values in between.",
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
            conclusion(scores, chosen),
            about,
            "Effective rank is the effective number of dimensions of a kernel matrix; target alignment its cosine with "
            "the ideal matrix of the labels; s / N the complexity of the model that fits the label; g the geometric "
            "difference to an RBF of median length scale, and to the closest RBF.",
            *verdict,
            *kernel_sentences(chosen, len(data.y)),
            *shot_sentences(shots, exact),
        ),
        tables={
            "Scores, bandwidth and penalty chosen on inner folds": scores.drop(columns="significant"),
            "Diagnosis": diagnosis,
            "Effect of shot noise": shots,
        },
        charts=charts,
        data={
            name: frame.assign(family=np.where(frame["kernel"] == RBF_NAME, "classical", "quantum"))
            for name, frame in {"entries": entry_quantiles(X, kernels, bandwidths), "curve": curve}.items()
        },
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
    rope = region_half_width(ROPE, data.y)
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
    rows, sentences = [], []
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
            r2 = (row["R²"], float(r2_score(data.y, nested[RBF_NAME][0])))
            sentences.append(score_sentence(name, paired, practical, row["significant"], r2, rope, unit))
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.assign(significant=table["significant"].eq(True)), tuple(sentences)
