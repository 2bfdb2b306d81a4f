"""A section of a report: what is left of a quantum kernel beside classical kernels that imitate it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import mean_absolute_error
from sklearn.pipeline import Pipeline, make_pipeline

from qperov.evaluation.searches import search_of
from qperov.evaluation.significance import (
    ROPE,
    bayesian_correlated_t_test,
    corrected_resampled_t_test,
    region_half_width,
)
from qperov.quantum.estimators.kernel_machine import KernelMachine
from qperov.quantum.kernels.bandwidth import resolved_kernel
from qperov.quantum.kernels.feature_map_kernel import FeatureMapKernel
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.records.study import Chart, Reference, Study
from qperov.reports.words.kernel_findings import TWIN, interval_text, surrogate_conclusion, surrogate_sentence
from qperov.studies.kernel_findings import likeness
from qperov.studies.kernel_matrices import most_chosen_parameters
from qperov.studies.surrogate_kernels import (
    closed_form,
    closest_gaussian,
    encoding,
    fourier_features,
    reorder_qubits,
    separable_twin,
)

if TYPE_CHECKING:
    from qperov.evaluation.problem import Model
    from qperov.evaluation.results import Comparison

TITLE = "What is left to call quantum?"
#: So many crystals are enough to see; the second for ``--quick``.
MOST, QUICK_MOST = 250, 120
#: Random orders of the qubits, and draws of random frequencies.
ORDERS, DRAWS = 8, 4
#: Rows of the table; those between the first and the last are classical kernels.
QUANTUM, REORDERED = "quantum kernel", "qubits reordered"
CLOSED_FORM, GAUSSIAN, FOURIER = "closed form", "fitted RBF", "random Fourier features"


@dataclass(frozen=True, eq=False)
class ChosenKernel:
    """A quantum kernel with the settings that most folds chose, and the machine that they were chosen for.

    Attributes
    ----------
    name : str
        Of the model.
    kernel : FeatureMapKernel
        Exact, in double precision, with numbers for its bandwidth.
    machine : estimator
        Regressor on a precomputed matrix.
    X : ndarray, shape (n, n_features)
        What the kernel is given.
    y : ndarray, shape (n,)
    folds : list of (train, test)
        The outer folds of the comparison, as rows of X.
    """

    name: str
    kernel: FeatureMapKernel
    machine: BaseEstimator
    X: np.ndarray
    y: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]

    @property
    def setting(self) -> str:
        """Kernel and penalty as they are written in Python."""
        known = self.machine.get_params()
        penalties = [f"{name} = {known[key]:.3g}" for key in known if (name := key.split("__")[-1]) in ("C", "alpha")]
        return ", ".join([repr(self.kernel), *penalties])


def surrogate_studies(
    models: Mapping[str, Model], comparison: Comparison, *, quick: bool = False, seed: int = 0
) -> tuple[Study, ...]:
    """Replace each compared quantum kernel by classical kernels that imitate it, on the same folds.

    Parameters
    ----------
    models : mapping of str to Model
        The models of a comparison. Studied are the candidates that regress with a quantum kernel, at the settings
        that most folds chose.
    comparison : Comparison
        What ``qperov.compare`` gave for them, from a dataset or from arrays.
    quick : bool
        Fewer crystals.
    seed : int
        Of the draw of crystals, the frequencies and the orders of the qubits.

    Returns
    -------
    tuple of Study
        Empty where no quantum kernel was compared.
    """
    rows = _drawn_rows(comparison, QUICK_MOST if quick else MOST, seed)
    kernels = [
        chosen
        for name, model in models.items()
        if model.family == "quantum"
        and model.role == "candidate"
        and (chosen := quantum_kernel_of(name, model, comparison, rows)) is not None
    ]
    if not kernels:
        return ()
    rope = comparison.settings.get("rope", region_half_width(ROPE, np.asarray(comparison.y)))
    unit = comparison.label.get("unit") or ""
    table = pd.concat([surrogate_table(chosen, rope, seed) for chosen in kernels], ignore_index=True)
    classical = table[~table["surrogate"].isin((QUANTUM, REORDERED))]
    about = (
        "Each quantum kernel, at the settings that most folds chose, is replaced by classical kernels with the same "
        f"penalty on the same folds: {len(rows)} of {len(comparison.y)} crystals, drawn by group. Scaling and "
        "components are fitted to all of these at once, without labels, so that scores differ from those of the "
        "comparison. Without entanglement: the map's single-qubit gates alone. Closed form: the map's frequencies in a "
        "product of cosines, or of periodic kernels for a projected one. Fitted RBF: the Gaussian of greatest centred "
        "alignment. Random Fourier features: as many as there are crystals, with frequencies drawn from the map's "
        f"spectrum; mean of {DRAWS} draws. Qubits reordered: the components on other qubits; mean of {ORDERS} random "
        "orders, whose scatter is an accident of the wiring. P(better): that the quantum kernel is better by more than "
        f"{rope:.2g}{f' {unit}' if unit else ''}, the region of practical equivalence."
    )
    of = {kernel.name: table[table["kernel"] == kernel.name] for kernel in kernels}
    sentences = [surrogate_sentence(kernel.setting, of[kernel.name], classical, unit) for kernel in kernels]
    mae_column = f"MAE{f' / {unit}' if unit else ''}"
    shown = table.assign(delta=[interval_text(row) for row in table.to_dict(orient="records")])
    shown = shown.drop(columns=["low", "high"]).rename(
        columns={"mae": mae_column, "spread": "sd of draws", "delta": "ΔMAE, 95 %", "better": "P(better)"}
    )
    drawn = table[table["surrogate"] != QUANTUM]
    ends = {"low": drawn["mae"] + drawn["delta"] - drawn["high"], "high": drawn["mae"] + drawn["delta"] - drawn["low"]}
    chart = Chart(
        "Scores of the surrogates", "intervals", "scores", "mae", "surrogate", panels="kernel", x_label=mae_column,
        references=tuple(Reference(QUANTUM, float(part["mae"].iloc[0]), "x", name) for name, part in of.items()),
        shared_x=False,
        caption="To the right of the line the quantum kernel is better. Intervals (95 %) are those of the difference "
        "to it and include the variation of training sets.",
    )  # fmt: skip
    return (
        Study(
            TITLE,
            (surrogate_conclusion(classical, unit), about, *sentences),
            tables={"Quantum kernels and their surrogates; ΔMAE: quantum minus surrogate": shown},
            charts=(chart,),
            data={
                "scores": drawn.assign(**ends, family=np.where(drawn["surrogate"] == REORDERED, "quantum", "classical"))
            },
            decimals={"alignment": 3, mae_column: 4, "sd of draws": 4, "P(better)": 2},
        ),
    )


# --- what is studied ----------------------------------------------------------------------------


def quantum_kernel_of(name: str, model: Model, comparison: Comparison, rows: np.ndarray) -> ChosenKernel | None:
    """The quantum kernel of a compared model on some of the crystals; None where it has none."""
    estimator = clone(model.of_features)
    _, search = search_of(estimator)
    steps: list[BaseEstimator] = []
    if search is not None:
        steps = [step for _, step in estimator.steps[:-1]] if isinstance(estimator, Pipeline) else []
        estimator = clone(search.estimator).set_params(**most_chosen_parameters(comparison, name) or {})
    target = None
    while isinstance(estimator, (Pipeline, TransformedTargetRegressor)):
        if isinstance(estimator, Pipeline):
            steps, estimator = [*steps, *(step for _, step in estimator.steps[:-1])], estimator.steps[-1][1]
        else:
            target, estimator = estimator.transformer, estimator.regressor
    if not isinstance(estimator, KernelMachine):
        return None
    kernel = FidelityKernel(bandwidth="median") if estimator.kernel is None else estimator.kernel
    if not isinstance(kernel, FeatureMapKernel):
        return None
    descriptor = comparison.table.set_index("model").loc[name, "descriptor"]
    X, y = np.asarray(comparison.features[descriptor], dtype=float)[rows], np.asarray(comparison.y, dtype=float)[rows]
    X = make_pipeline(*steps, "passthrough").fit_transform(X, y)
    machine: BaseEstimator = clone(estimator).set_params(kernel="precomputed")
    if target is not None:
        machine = TransformedTargetRegressor(machine, transformer=target)
    exact = resolved_kernel(clone(kernel).set_params(shots=None, backend=None, precision="double"), X, y)
    return ChosenKernel(name, exact, machine, X, y, _outer_folds(comparison, name, rows))


def _drawn_rows(comparison: Comparison, most: int, seed: int) -> np.ndarray:
    """Rows of whole groups, drawn at random until there are enough."""
    of_id = comparison.predictions.drop_duplicates("id").set_index("id")["group"]
    names, groups = np.unique(of_id.loc[list(comparison.ids)].to_numpy(), return_inverse=True)
    if len(groups) <= most:
        return np.arange(len(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    taken = order[np.cumsum(np.bincount(groups)[order]) <= most]
    return np.flatnonzero(np.isin(groups, taken))


def _outer_folds(comparison: Comparison, model: str, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    place = {comparison.ids[row]: i for i, row in enumerate(rows)}
    mine = comparison.predictions[comparison.predictions["model"] == model]
    folds = []
    for _, part in mine.groupby(["repeat", "fold"]):
        test = np.array(sorted(place[key] for key in part["id"] if key in place), dtype=int)
        if len(test):
            folds.append((np.setdiff1d(np.arange(len(rows)), test), test))
    return folds


# --- surrogates and their scores ----------------------------------------------------------------


def surrogate_matrices(chosen: ChosenKernel, seed: int) -> dict[str, list[np.ndarray]]:
    """Matrices of the quantum kernel and of what replaces it; several where they are drawn at random."""
    kernel, X, random = chosen.kernel, chosen.X, np.random.default_rng(seed)
    n, n_features = X.shape
    K = kernel(X)
    found = {QUANTUM: [K], TWIN: [separable_twin(kernel, n_features)(X)]}
    if len(encoding(kernel, n_features)):
        found[CLOSED_FORM] = [closed_form(kernel, X)]
    found[GAUSSIAN] = [closest_gaussian(K, X)]
    if CLOSED_FORM in found:
        draws = [fourier_features(kernel, X, -(-n // 2), random) for _ in range(DRAWS)]
        found[FOURIER] = [Z @ Z.T for Z in draws]
    if n_features > 1:
        found[REORDERED] = [reorder_qubits(kernel, X, random.permutation(n_features)) for _ in range(ORDERS)]
    return found


def surrogate_table(chosen: ChosenKernel, rope: float, seed: int = 0) -> pd.DataFrame:
    """Alignment and score of the quantum kernel and each surrogate, one row each, the quantum kernel first.

    Returns
    -------
    DataFrame
        ``kernel`` (name of the model), ``surrogate``, ``alignment`` (centred, to the quantum kernel), ``mae`` (mean
        over folds and draws), ``spread`` (standard deviation of the MAE over draws), ``delta`` (MAE of the quantum
        kernel minus that of the surrogate), ``low``, ``high`` (95 %, corrected for overlap), ``better``
        (probability that the quantum kernel is better by more than ``rope``), ``outcome`` (of the quantum kernel).
    """
    matrices = surrogate_matrices(chosen, seed)
    [own] = (fold_errors(chosen, K) for K in matrices[QUANTUM])
    share = float(np.mean([len(test) / len(train) for train, test in chosen.folds]))
    rows = []
    for name, drawn in matrices.items():
        row = {
            "kernel": chosen.name,
            "surrogate": name,
            "alignment": float(np.mean([likeness(matrices[QUANTUM][0], K) for K in drawn])),
        }
        errors = np.array([own if name == QUANTUM else fold_errors(chosen, K) for K in drawn])
        row |= {"mae": float(errors.mean()), "spread": errors.mean(axis=1).std(ddof=1) if len(drawn) > 1 else np.nan}
        row |= dict.fromkeys(("delta", "low", "high", "better"), np.nan) | {"outcome": ""}
        if name != QUANTUM:
            test = corrected_resampled_t_test(own, errors.mean(axis=0), share)
            practical = bayesian_correlated_t_test(own, errors.mean(axis=0), share, rope)
            row |= {"delta": test.difference, "low": test.low, "high": test.high}
            row |= {"better": practical.lower, "outcome": practical.outcome}
        rows.append(row)
    return pd.DataFrame(rows)


def fold_errors(chosen: ChosenKernel, K: np.ndarray) -> np.ndarray:
    """Mean absolute error on each outer fold with a matrix of all crystals, shape (n_folds,)."""
    errors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a concentrated matrix is a finding, not a fault
        for train, test in chosen.folds:
            fitted = clone(chosen.machine).fit(K[np.ix_(train, train)], chosen.y[train])
            errors.append(mean_absolute_error(chosen.y[test], fitted.predict(K[np.ix_(test, train)])))
    return np.array(errors)
