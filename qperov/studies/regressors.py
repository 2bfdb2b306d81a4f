"""The regressors of the suite, and where their searches look: log ranges, the same for quantum and classical machines.

Thirty candidates a search (ten with ``quick``), drawn as a Latin hypercube: every stretch of a range of a candidate's
size holds one. A kernel machine has ten settings of its kernel (five) with three penalties each (two), so that the
matrices of one setting serve all its penalties; the same draw gives both sides their widths, their whitening and their
penalties, and the family of the kernel to the one, feature map and entanglement to the other. Nothing of the data is
looked at but the number of components.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import gamma, pi, sqrt
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.gaussian_process.kernels import RBF, Kernel, Matern
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, PolynomialFeatures, StandardScaler
from sklearn.svm import SVR

from qperov.classical.gaussian_process import ARDGaussianProcess
from qperov.classical.kernels import PowerExponential
from qperov.descriptors.rank_pca import RankPCA
from qperov.evaluation.problem import Model
from qperov.evaluation.searches import SampledGroupKFold
from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder
from qperov.quantum.estimators.regression import QuantumKernelRidge, QuantumSVR
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.ising import IsingKernel
from qperov.quantum.kernels.projected import ProjectedKernel

#: Logarithmic ranges. Penalties are those of labels of unit variance. A width is a length in units of the typical
#: distance √(2d) of samples with d components of mean variance 1: a Gaussian's length scale, a quantum kernel's 1/b.
RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "C": (0.1, 100.0),  # of support vector machines
        "alpha": (1e-5, 10.0),  # of ridge regressions with a kernel
        "alpha of a line": (1e-3, 1e4),  # of ridge regression
        "width": (0.3, 10.0),
        "p": (0.5, 2.0),  # of the power-exponential kernel
        "gamma": (0.1, 10.0),  # of the projected kernel, beside its bandwidth
        "coupling": (0.01, 0.3),  # of Ising kernels: that of the nearest neighbours, in radians
        "decay": (1.0, 30.0),  # and the length in Å along which it falls
        "neighbours": (1, 50),
        "learning_rate": (0.03, 0.5),  # of boosted trees, and their leaves
        "max_leaf_nodes": (3, 32),
        "min_samples_leaf": (2, 40),
        "l2_regularization": (1e-3, 10.0),
    }
)
#: Half-width of the SVRs' tube in standard deviations of the training labels.
EPSILON = 0.05
#: Inner folds of each hyperparameter search, and crystals on which it is made at most: in full, without the exploratory
#: rows (where time is short), and with ``quick``. On few crystals smooth kernels look better than they are on many.
INNER_FOLDS = 3
SEARCHED, BRIEF_SEARCHED, QUICK_SEARCHED = 1000, 320, 150
#: Components up to which each has a qubit of a statevector, and up to which it has one of a matrix product state, of
#: maps that couple neighbours on a line; more are written in turn onto so many qubits (re-uploading).
MOST_QUBITS, MOST_LINE_QUBITS, REUPLOADED_QUBITS = 12, 500, 8
#: What matrix product states may drop at a cut.
TOLERANCE = 1e-6
#: Trees of gradient boosting.
TREES = 50
#: Qubits into whose amplitudes the components are written, and qubits of the code that the autoencoder makes of them.
CODE_OF, CODE_QUBITS = 4, 3
#: Numbers in the code: expectation values of all Pauli words on one and two of its qubits.
CODE_SIZE = 3 * CODE_QUBITS + 9 * CODE_QUBITS * (CODE_QUBITS - 1) // 2
#: Candidates of a search, and settings of a kernel among them; with ``quick``.
CANDIDATES, SETTINGS = 30, 10
QUICK_CANDIDATES, QUICK_SETTINGS = 10, 5
#: Feature maps with their entanglement. The angles of ZZ maps are about π times the features.
MAPS = (("iqp", "linear"), ("iqp", "circular"), ("zz", "linear"), ("zz", "circular"), ("z", "linear"))
#: Those of circuits on more qubits than statevectors have.
LINE_MAPS = (("iqp", "linear"), ("z", "linear"))
ANGLE_SCALES = {"zz": pi}
#: Families of classical kernels as functions of length ℓ, number of components d and p.
FAMILIES: Mapping[str, Callable[[float, int, float], Kernel]] = MappingProxyType(
    {
        "RBF": lambda length, d, p: RBF(length),
        "Laplacian": lambda length, d, p: power_exponential(length, d, 1.0),
        "Matérn 1/2": lambda length, d, p: Matern(length, nu=0.5),
        "Matérn 3/2": lambda length, d, p: Matern(length, nu=1.5),
        "power-exponential": lambda length, d, p: power_exponential(length, d, p),
    }
)


def power_exponential(length: float, n_components: int, p: float) -> PowerExponential:
    """exp(−½ Σ|xₖ − yₖ|ᵖ/s), where s makes it a Gaussian of that length at p = 2 and at every p as wide.

    At the typical distance, where differences are normal with variance 2, Σ|d|ᵖ has the mean d·2ᵖ Γ((p + 1)/2)/√π.
    """
    typical = n_components * 2**p * gamma((p + 1) / 2) / sqrt(pi)
    width = length / sqrt(2 * n_components)
    return PowerExponential(_rounded(0.5 / (typical * width**p)), _rounded(p))


def draw(names: Sequence[str], count: int, random_state: int) -> list[dict[str, float]]:
    """Latin hypercube of ``count`` points: values of the log ranges named, and for other names numbers in [0, 1).

    The points of one name depend on ``random_state``, ``count`` and its place alone.
    """
    rng = np.random.default_rng(random_state)
    columns = {}
    for name in names:
        places = (rng.permutation(count) + rng.random(count)) / count
        low, high = RANGES.get(name, (0, 0))
        columns[name] = [_rounded(low * (high / low) ** u) if low else float(u) for u in places]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def plain_grid(names: Mapping[str, str], *, whiten: bool, quick: bool, random_state: int) -> list[dict[str, list[Any]]]:
    """Candidates of a machine without a kernel: parameter → name of its range (whole numbers where the range has them).

    ``whiten``: half of the candidates divide every component by its standard deviation.
    """
    count = QUICK_CANDIDATES if quick else CANDIDATES
    points = draw([*names.values(), "whitened"], count, random_state)
    whole = {name for name, (low, high) in RANGES.items() if isinstance(low, int)}
    return [
        {parameter: [round(point[name]) if name in whole else point[name]] for parameter, name in names.items()}
        | ({"scale__with_std": [point["whitened"] < 0.5]} if whiten else {})
        for point in points
    ]


def kernel_grid(
    settings: Sequence[Callable[[dict[str, Any]], dict[str, Any]]], penalty: str, *, quick: bool, random_state: int
) -> list[dict[str, list[Any]]]:
    """Candidates of a kernel machine: one grid a setting of its kernel, with some penalties.

    Every family has as many settings, of widths from all parts of their range, whitened and not in turn.

    Parameters
    ----------
    settings : sequence of callable
        For each family: from a point with ``width``, ``p`` and ``gamma`` to parameters of the machine.
    penalty : str
        ``"C"`` or ``"alpha"``.
    """
    count, kernels = (QUICK_CANDIDATES, QUICK_SETTINGS) if quick else (CANDIDATES, SETTINGS)
    points = sorted(draw(("width", "p", "gamma"), kernels, random_state), key=lambda point: point["width"])
    penalties = sorted(point[penalty] for point in draw((penalty,), count, random_state))
    rng = np.random.default_rng(random_state)
    places = rng.permuted(np.arange(count).reshape(-1, kernels), axis=1)
    first_whitened = rng.permutation(len(settings)) % 2
    grids: list[dict[str, list[Any]]] = []
    for part in range(0, kernels, len(settings)):
        for family, point in zip(rng.permutation(len(settings)), points[part : part + len(settings)], strict=False):
            of_kernel = {f"machine__{name}": [value] for name, value in settings[family](point).items()}
            whitened = bool((part // len(settings) + first_whitened[family]) % 2)
            chosen = [penalties[place] for place in places[:, len(grids)]]
            grids.append(of_kernel | {"scale__with_std": [whitened], f"machine__{penalty}": chosen})
    return grids


def classical_settings(
    n_components: int, families: Sequence[str] = tuple(FAMILIES)
) -> list[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Classical kernels from points of the draw."""

    def setting(family: str, point: dict[str, Any]) -> dict[str, Any]:
        length = _rounded(point["width"] * sqrt(2 * n_components))
        return {"kernel": FAMILIES[family](length, n_components, point["p"])}

    return [partial(setting, family) for family in families]


def quantum_settings(
    n_components: int, maps: Sequence[tuple[str, str]] = MAPS, *, projected: bool = False
) -> list[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Feature map, entanglement and bandwidth (and γ) of quantum kernels from points of the draw."""

    def setting(name: str, entanglement: str, point: dict[str, Any]) -> dict[str, Any]:
        length = point["width"] * sqrt(2 * n_components) * ANGLE_SCALES.get(name, 1.0)
        found = {"feature_map": name, "entanglement": entanglement, "bandwidth": _rounded(1 / length)}
        found |= {"gamma": point["gamma"]} if projected else {}
        return {f"kernel__{key}": value for key, value in found.items()}

    return [partial(setting, *each) for each in maps]


def _rounded(value: float) -> float:
    """Three digits, so that what is printed is what was used."""
    return float(f"{value:.3g}")


def most_line_qubits(quick: bool) -> int:
    """Components up to which each has a qubit of a matrix product state; with ``quick`` none, since these take long."""
    return MOST_QUBITS if quick else MOST_LINE_QUBITS


def search_size(*, quick: bool, exploratory: bool) -> int:
    """Crystals of a training fold on which every search is made, at most."""
    return QUICK_SEARCHED if quick else SEARCHED if exploratory else BRIEF_SEARCHED


def grid_search(
    model: BaseEstimator, grid: dict[str, list[Any]] | list[dict[str, list[Any]]], cv: Any = INNER_FOLDS
) -> GridSearchCV:
    """``model`` on standardised labels, its hyperparameters chosen by mean absolute error on inner folds."""
    target = TransformedTargetRegressor(model, transformer=StandardScaler())
    grids = [grid] if isinstance(grid, dict) else grid
    parameters = [{f"regressor__{name}": values for name, values in one.items()} for one in grids]
    return GridSearchCV(target, parameters, scoring="neg_mean_absolute_error", cv=cv)


def ising_search(kernel: IsingKernel, *, quick: bool = False, random_state: int = 0) -> GridSearchCV:
    """Support vector regression on decorations, the coupling and its decay searched beside the penalty."""
    count, kernels = (QUICK_CANDIDATES, QUICK_SETTINGS) if quick else (CANDIDATES, SETTINGS)
    penalties = np.reshape([point["C"] for point in draw(("C",), count, random_state)], (kernels, -1))
    grid = [
        {"kernel__couplings": [p["coupling"]], "kernel__decay": [p["decay"]], "C": chosen}
        for p, chosen in zip(draw(("coupling", "decay"), kernels, random_state), penalties.tolist(), strict=True)
    ]
    most = search_size(quick=quick, exploratory=True)
    folds = SampledGroupKFold(INNER_FOLDS, n_samples=most, random_state=random_state)
    return grid_search(QuantumSVR(kernel, epsilon=EPSILON), grid, folds)


def regressors(
    n_components: int, n_crystals: int, *, quick: bool = False, exploratory: bool = False, random_state: int = 0
) -> list[Model]:
    """Models of ``n_components`` common components; each search has thirty candidates, or ten with ``quick``.

    Parameters
    ----------
    n_components, n_crystals : int
        They scale the ranges of the searches: lengths by the typical distance, neighbours to a quarter of the crystals.
    quick : bool
        Fewer candidates, on fewer crystals.
    exploratory : bool
        Beside kernel ridge regression that chooses its kernel, one row for each of them, for contrast.
    random_state : int
        Of the candidates and of the crystals on which they are compared.
    """
    draw: dict[str, Any] = {"quick": quick, "random_state": random_state}
    most = search_size(quick=quick, exploratory=exploratory)
    folds = SampledGroupKFold(INNER_FOLDS, n_samples=most, random_state=random_state)

    def search(machine: BaseEstimator, grid: list[dict[str, list[Any]]]) -> GridSearchCV:
        scaled = Pipeline([("scale", StandardScaler(with_mean=False, with_std=False)), ("machine", machine)])
        return grid_search(scaled, grid, folds)

    def trees() -> GridSearchCV:
        names = ("learning_rate", "max_leaf_nodes", "min_samples_leaf", "l2_regularization")
        grid = plain_grid({f"machine__{name}": name for name in names}, whiten=False, **draw)
        return search(
            HistGradientBoostingRegressor(max_iter=TREES, early_stopping=False, random_state=random_state), grid
        )

    def neighbours() -> GridSearchCV:
        grid = plain_grid({"machine__n_neighbors": "neighbours"}, whiten=True, **draw)
        quarter = max(1, min(n_crystals, most) // 4)
        grid = [one | {"machine__n_neighbors": [min(quarter, *one["machine__n_neighbors"])]} for one in grid]
        return search(KNeighborsRegressor(weights="distance", algorithm="brute"), grid)

    classical, of_code = classical_settings(n_components), classical_settings(CODE_SIZE)
    svr, ridge = SVR(kernel=RBF(), epsilon=EPSILON), KernelRidge(kernel=RBF())
    circuit: dict[str, Any] = {"precision": "single", "tolerance": TOLERANCE}
    on_a_line = MOST_QUBITS < n_components <= most_line_qubits(quick)
    if n_components > MOST_QUBITS and not on_a_line:
        circuit["n_qubits"] = REUPLOADED_QUBITS
    maps = LINE_MAPS if on_a_line else MAPS
    fidelity, projected = FidelityKernel("iqp", **circuit), ProjectedKernel("iqp", **circuit)
    quantum = quantum_settings(n_components, maps)
    encoder = QuantumAutoencoder(CODE_OF, code_qubits=CODE_QUBITS, observables="pauli", epochs=50 if quick else 200)
    # a state has no length: the constant 1 in front keeps that of the components in the direction
    code = (
        ("leading", RankPCA(2**CODE_OF - 1)),
        ("range", MaxAbsScaler()),
        ("one", PolynomialFeatures(1)),
        ("encoder", encoder),
        ("code", StandardScaler()),
    )
    found = [
        Model("Ridge", search(Ridge(), plain_grid({"machine__alpha": "alpha of a line"}, whiten=True, **draw))),
        Model("Nearest neighbours", neighbours()),
        Model("Gradient boosting", trees()),
        Model("Gaussian process", ARDGaussianProcess(random_state=random_state)),
        Model("Kernel ridge", search(ridge, kernel_grid(classical, "alpha", **draw))),
        Model("SVR", search(svr, kernel_grid(classical, "C", **draw)), kernel=RBF()),
    ]
    for name, machine, kernel, settings, penalty in (
        ("Quantum kernel ridge", QuantumKernelRidge(fidelity), fidelity, quantum, "alpha"),
        ("QSVR", QuantumSVR(fidelity, epsilon=EPSILON), fidelity, quantum, "C"),
        (
            "QSVR projected",
            QuantumSVR(projected, epsilon=EPSILON),
            projected,
            quantum_settings(n_components, maps, projected=True),
            "C",
        ),
    ):
        grid = kernel_grid(settings, penalty, **draw)
        # that of kernel ridge regression is the same again: reports show it once
        shown = None if penalty == "alpha" else kernel
        found.append(Model(name, search(machine, grid), family="quantum", kernel=shown))
    of_code_search = search(svr, kernel_grid(of_code, "C", **draw))
    found.append(Model("Autoencoder + SVR", of_code_search, transformers=code, family="quantum"))
    if exploratory:
        found += [
            Model(
                f"Kernel ridge, {family}",
                search(ridge, kernel_grid(classical_settings(n_components, (family,)), "alpha", **draw)),
                role="contrast",
            )
            for family in FAMILIES
        ]
    return found
