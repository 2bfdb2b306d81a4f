"""The effect of device noise on a compared quantum kernel: measured on few pairs, applied to many crystals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline

from qperov.evaluation.splits import honest_groups
from qperov.hardware.jobs.backend import Backend
from qperov.quantum.estimators.regression import QuantumSVR
from qperov.quantum.gram.repair import KernelRepair
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.records.study import Chart, Reference, Study
from qperov.studies.kernel_matrices import chosen_kernel, most_chosen, whitened

if TYPE_CHECKING:
    from qperov.datasets.dataset import Dataset
    from qperov.evaluation.problem import Model
    from qperov.evaluation.results import Comparison

TITLE = "Effect of device noise on the score"
#: A snapshot of the errors of one of IBM's machines, simulated.
MACHINE = "fake_fez"
#: Crystals whose pairs are simulated with noise, and to which it is carried over; fewer for ``--quick``.
MEASURED, QUICK_MEASURED = 10, 8
MOST, QUICK_MOST = 200, 80
#: Components and so qubits: circuits on more take seconds each with noise.
QUBITS = 6
SHOTS = 1024
FOLDS, REPEATS, QUICK_REPEATS = 5, 5, 2
#: Multiples of the kernel's own bandwidth that are tried.
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
PENALTY, EPSILON = 10.0, 0.05


def noise_studies(
    models: Mapping[str, Model],
    dataset: Dataset,
    comparison: Comparison | None = None,
    *,
    quick: bool = False,
    seed: int = 0,
) -> tuple[Study, ...]:
    """Simulate a compared fidelity kernel on a noisy device, and score regressions on the noisy matrix.

    All pairs of ten crystals are simulated gate by gate. The effect of the noise, K → aK + c with a scatter
    beyond that of the shots, is then applied to the exact matrix of many crystals.

    Parameters
    ----------
    models : mapping of str to Model
        The models of a comparison. The last is studied that tunes a fidelity kernel.
    dataset : CrystalDataset or PatternDataset
        At most 200 of its crystals are taken (80 with ``quick``), drawn at random.
    comparison : Comparison, optional
        What ``qperov.compare`` gave for the models: feature map, entanglement and whitening are those that most folds
        chose, and bandwidths about the chosen one are tried. Without it they are those of the model's kernel.
    quick : bool
        Fewer crystals and fold assignments.
    seed : int
        Of the draw, the folds and the shots.

    Returns
    -------
    tuple of Study
        One that says why, where there is nothing to study or the simulators are not installed.
    """
    if find_spec("qiskit_aer") is None or find_spec("qiskit_ibm_runtime") is None:
        return (Study(TITLE, ("Skipped: simulated machines need pip install 'qperov[ibm]'.",)),)
    fidelities = [(name, m) for name, m in models.items() if isinstance(m.kernel, FidelityKernel)]
    if not fidelities or dataset.y is None:
        why = "no model searches over the bandwidth of a fidelity kernel" if dataset.y is not None else "no labels"
        return (Study(TITLE, (f"Skipped: {why}.",)),)
    name, model = fidelities[-1]
    chosen = (most_chosen(comparison, name) if comparison is not None else None) or {}
    kernel = cast(FidelityKernel, chosen_kernel(model, chosen)).set_params(n_qubits=None)
    rows = np.sort(np.random.default_rng(seed).permutation(len(dataset))[: QUICK_MOST if quick else MOST])
    features = clone(model.featurizer).fit_transform([dataset.samples[i] for i in rows])
    y, groups = np.asarray(dataset.y, dtype=float)[rows], honest_groups(np.asarray(dataset.groups)[rows], [features])
    if (many := len(np.unique(groups))) < (needed := max(FOLDS, MEASURED)) or np.ptp(y) == 0:
        why = "all labels are equal" if np.ptp(y) == 0 else f"{many} independent groups, and {needed} are needed"
        return (Study(TITLE, (f"Skipped: {why}.",)),)
    X = clone(Pipeline([*model.transformers])).set_params(pca__n_components=QUBITS).fit_transform(features)
    X = whitened(X, chosen)
    about = (
        f"{model.name}, {model.descriptor}: {len(y)} of {len(dataset)} crystals, {X.shape[1]} principal components on "
        "as many qubits"
    )
    return (_study(kernel, X, (y - y.mean()) / y.std(), groups, about, quick, seed),)


@dataclass(frozen=True, eq=False)
class MeasuredNoise:
    """The effect of noise on fidelities: K → slope·K + offset, with a scatter beyond that of the shots.

    Attributes
    ----------
    exact, measured : ndarray, shape (pairs,)
    slope, offset : float
        By least squares. Global depolarising noise that leaves a state with probability p has slope p and offset
        (1 − p)/2ⁿ.
    scatter : float
        Standard deviation about the line, the variance of the shots taken off.
    """

    exact: np.ndarray
    measured: np.ndarray
    slope: float
    offset: float
    scatter: float

    @classmethod
    def of(cls, exact: np.ndarray, measured: np.ndarray, shots: int) -> MeasuredNoise:
        """Fit the line to pairs."""
        slope, offset = np.polyfit(exact, measured, 1)
        expected = np.clip(slope * exact + offset, 0, 1)
        beyond = np.mean((measured - expected) ** 2) * len(exact) / (len(exact) - 2)
        beyond -= np.mean(expected * (1 - expected)) / shots
        return cls(exact, measured, float(slope), float(offset), float(np.sqrt(max(0.0, beyond))))

    def applied(self, K: np.ndarray, shots: int, seed: int) -> np.ndarray:
        """A symmetric matrix as such a machine would measure it, each pair once."""
        random = np.random.default_rng(seed)
        upper = np.triu_indices(len(K))
        expected = self.slope * K[upper] + self.offset + self.scatter * random.normal(size=len(upper[0]))
        result = np.empty_like(K)
        result[upper] = random.binomial(shots, np.clip(expected, 0, 1)) / shots
        result.T[upper] = result[upper]
        return result


def _study(
    kernel: FidelityKernel, X: np.ndarray, y: np.ndarray, groups: np.ndarray, about: str, quick: bool, seed: int
) -> Study:
    repeats, few = (QUICK_REPEATS, QUICK_MEASURED) if quick else (REPEATS, MEASURED)
    own = float(np.mean(np.asarray(kernel.bandwidth, dtype=float)))
    exact_of = {(b := factor * own): clone(kernel).set_params(bandwidth=b)(X) for factor in BANDWIDTHS}
    bandwidth = max(exact_of, key=lambda b: _mean_r2(_machine(), exact_of[b], y, groups, repeats)[0])
    exact, n_qubits = exact_of[bandwidth], X.shape[1]
    backend = Backend(MACHINE, shots=SHOTS, random_state=seed)
    pairs = np.triu_indices(few)
    measured = backend.measure_fidelities(kernel.circuit, *(bandwidth * X[side] for side in pairs))
    noise = MeasuredNoise.of(exact[pairs], measured, SHOTS)
    shots = MeasuredNoise(exact, exact, 1.0, 0.0, 0.0).applied(exact, SHOTS, seed)
    noisy = noise.applied(exact, SHOTS, seed)
    nearest = make_pipeline(KernelRepair(), _machine())
    corrected = make_pipeline(KernelRepair(depolarising="mean", n_qubits=n_qubits), _machine())
    rows = []
    for matrix, values, model in (
        ("exact", exact, _machine()),
        (f"{SHOTS} shots", shots, nearest),
        (f"{MACHINE}'s noise", noisy, nearest),
        (f"{MACHINE}'s noise, depolarising removed", noisy, corrected),
    ):
        mean, spread = _mean_r2(model, values, y, groups, repeats)
        rows.append({"matrix": matrix, "R²": mean, "sd of R²": spread})
    table = pd.DataFrame(rows)
    constant = _mean_r2(DummyRegressor(), X, y, groups, repeats)[0]
    r2 = table.set_index("matrix")["R²"]
    line = pd.DataFrame({"exact": noise.exact, "measured": noise.measured, "family": "quantum"})
    return Study(
        TITLE,
        (
            f"R²: {_r2(r2.iloc[0])} exactly, {_r2(r2.iloc[1])} with shots alone, {_r2(r2.iloc[2])} with the machine's "
            f"noise, {_r2(r2.iloc[3])} when depolarising noise is removed as well; the mean of the training labels "
            f"has {_r2(constant)}.",
            f"{about}, {kernel.feature_map} map, bandwidth {bandwidth:.3g}: the one with the best R² of the exact "
            "matrix on these same crystals, so that all scores are slightly optimistic; only their differences matter.",
            f"All {len(measured)} pairs of {few} crystals were simulated gate by gate on {MACHINE}, a snapshot of "
            f"the errors of IBM's Fez, with {SHOTS} shots and its readout corrected; no real machine was used. The "
            f"noise maps a fidelity K to {_line(noise)} with a scatter of {noise.scatter:.3f} beyond shot noise, "
            "and this map was applied to the exact matrix of all crystals: simulating all its pairs would take hours.",
            f"Every noisy matrix is first replaced by the nearest positive semi-definite one, "
            f"from training rows alone. Mean and standard deviation over {repeats} assignments to {FOLDS} folds, which "
            f"never separate symmetry copies or equal descriptors; support vector regression with C = {PENALTY:g}.",
        ),
        tables={"Scores": table},
        charts=(
            Chart(
                "Pairs on the machine", "scatter", "pairs", "exact", "measured", x_label="K, exact",
                y_label=f"K, {MACHINE}", references=(Reference("equal", axis="diagonal"),),
                caption="Each point is a pair of crystals, or a crystal with itself (K = 1).",
            ),
        ),
        data={"pairs": line},
        decimals={"R²": 2, "sd of R²": 2},
    )  # fmt: skip


def _line(noise: MeasuredNoise) -> str:
    return f"{noise.slope:.2f} K {'+' if noise.offset >= 0 else '−'} {abs(noise.offset):.3f}"


def _machine() -> QuantumSVR:
    return QuantumSVR("precomputed", C=PENALTY, epsilon=EPSILON)


def _mean_r2(
    model: BaseEstimator, X: np.ndarray, y: np.ndarray, groups: np.ndarray, repeats: int
) -> tuple[float, float]:
    """Mean and standard deviation of R² over repeated grouped cross-validation; a repair sees training rows alone."""
    found = []
    for repeat in range(repeats):
        folds = GroupKFold(FOLDS, shuffle=True, random_state=repeat)
        found.append(r2_score(y, cross_val_predict(model, X, y, cv=folds, groups=groups)))
    return float(np.mean(found)), float(np.std(found, ddof=1))


def _r2(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
