"""Two contrasts to a quantum kernel machine with the same search: without entanglement, and classically."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from sklearn.base import BaseEstimator, clone

from qperov.classical.kernels import CosineProduct
from qperov.evaluation.problem import Model
from qperov.evaluation.searches import search_of

#: Separable twin of each map that searches name: the map `z`, and what its bandwidth is multiplied by. What is left of
#: `iqp` without entanglement is Rz(x) after H, of `zz` and `z` it is P(2x).
TWIN, SCALES = "z", MappingProxyType({"iqp": 0.5, "zz": 1.0, "z": 1.0})
#: What their names add to that of the quantum machine.
SEPARABLE, CLOSED_FORM = "without entanglement", "closed form"
MAP, BANDWIDTH, ENTANGLEMENT = "kernel__feature_map", "kernel__bandwidth", "kernel__entanglement"


def contrasts(model: Model) -> tuple[Model, ...]:
    """The separable twin and its closed form of every candidate of a search; empty for other models.

    Parameters
    ----------
    model : Model
        Quantum, with a search over feature map and bandwidth of a fidelity kernel with two repetitions.
    """
    prefix, search = search_of(model.regressor)
    grid: Any = None if search is None else search.get_params(deep=False).get("param_grid")
    if model.family != "quantum" or not isinstance(grid, Sequence) or not all(_has_map(one) for one in grid):
        return ()
    if any(key.endswith("kernel__gamma") for one in grid for key in one):  # a projected kernel has another closed form
        return ()
    found = []
    for suffix, change in ((SEPARABLE, _separable), (CLOSED_FORM, _closed_form)):
        regressor: BaseEstimator = clone(model.regressor)
        regressor.set_params(**{f"{prefix}param_grid": [change(one) for one in grid]})
        name = f"{model.name}, {suffix}"
        found.append(replace(model, name=name, regressor=regressor, family="classical", role="contrast", kernel=None))
    return tuple(found)


def _has_map(candidates: Mapping[str, Any]) -> bool:
    return any(key.endswith(MAP) for key in candidates)


def _place(candidates: Mapping[str, Any], ending: str) -> str:
    return next(key for key in candidates if key.endswith(ending))


def _bandwidths(candidates: Mapping[str, Any]) -> list[float]:
    """Of the twin of each pair of map and bandwidth."""
    maps, bandwidths = (candidates[_place(candidates, ending)] for ending in (MAP, BANDWIDTH))
    return [SCALES[name] * bandwidth for name in maps for bandwidth in bandwidths]


def _separable(candidates: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {_place(candidates, MAP): [TWIN], _place(candidates, BANDWIDTH): _bandwidths(candidates)}
    changed |= {key: ["linear"] for key in candidates if key.endswith(ENTANGLEMENT)}
    return {**candidates, **changed}


def _closed_form(candidates: Mapping[str, Any]) -> dict[str, Any]:
    own = _place(candidates, MAP).removesuffix("__feature_map")
    kept = {key: value for key, value in candidates.items() if not key.startswith(f"{own}__")}
    return kept | {own: [CosineProduct(bandwidth, 4) for bandwidth in _bandwidths(candidates)]}
