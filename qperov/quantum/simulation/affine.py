"""Angles that are weighted sums of trainable parameters, kept as symbols while a circuit is read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np


@dataclass(frozen=True)
class Affine:
    """c·θ + b for parameters θ that are not yet numbers; sums and multiples of it are again such.

    Parameters
    ----------
    weights : ndarray of shape (n_parameters,)
        c.
    constant : float
        b, in radians.
    """

    weights: np.ndarray
    constant: float = 0.0

    # Without this, numpy would take ``number * Affine`` apart.
    __array_ufunc__ = None

    def __add__(self, other: Any) -> Affine:
        if isinstance(other, Affine):
            return Affine(self.weights + other.weights, self.constant + other.constant)
        return Affine(self.weights, self.constant + float(other))

    def __mul__(self, other: Any) -> Affine:
        if isinstance(other, Affine):
            self._refuse()
        return Affine(self.weights * float(other), self.constant * float(other))

    def __truediv__(self, other: Any) -> Affine:
        return self * (1 / other)

    def __neg__(self) -> Affine:
        return self * -1

    def __sub__(self, other: Any) -> Affine:
        return self + (-other)

    def __rsub__(self, other: Any) -> Affine:
        return -self + other

    def _refuse(self, *_: Any) -> NoReturn:
        raise ValueError(
            "a trainable circuit's angles must be weighted sums of its parameters, not products or functions"
        )

    __radd__ = __add__
    __rmul__ = __mul__
    __pow__ = __rpow__ = __rtruediv__ = __float__ = __abs__ = _refuse


def parameters(count: int) -> list[Affine]:
    """The symbols θ₀ … θ₍count−1₎."""
    return [Affine(row) for row in np.eye(count)]


def as_matrix(angles: Sequence[Any], count: int) -> tuple[np.ndarray, np.ndarray]:
    """W of shape (n_angles, count) and b of shape (n_angles,) with angles = W·θ + b."""
    weights, constants = np.zeros((len(angles), count)), np.zeros(len(angles))
    for i, angle in enumerate(angles):
        if isinstance(angle, Affine):
            weights[i], constants[i] = angle.weights, angle.constant
        else:
            constants[i] = float(angle)
    return weights, constants
