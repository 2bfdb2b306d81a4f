"""Where the searches of the suite look: log ranges, the same for quantum and classical machines, and draws from them.

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
from sklearn.gaussian_process.kernels import RBF, Kernel, Matern

from qperov.classical.kernels import PowerExponential

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
        "neighbours": (1, 50),
        "learning_rate": (0.03, 0.5),  # of boosted trees, and their leaves
        "max_leaf_nodes": (3, 32),
        "min_samples_leaf": (2, 40),
        "l2_regularization": (1e-3, 10.0),
    }
)
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
