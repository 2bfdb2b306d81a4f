"""Dual numbers: forward-mode differentiation with respect to one parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Dual:
    """A number with its derivative, for use as an angle: (value, tangent) obey the rules of sums and products.

    Parameters
    ----------
    value, tangent : float or array of shape (n_samples,)
        The number, and its derivative with respect to the one parameter of interest.
    """

    value: Any
    tangent: Any

    # Without this, numpy would take ``array * Dual`` apart element by element.
    __array_ufunc__ = None

    def __add__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.value + other.value, self.tangent + other.tangent)
        return Dual(self.value + other, self.tangent)

    def __mul__(self, other: Any) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.value * other.value, self.tangent * other.value + self.value * other.tangent)
        return Dual(self.value * other, self.tangent * other)

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.tangent)

    def __sub__(self, other: Any) -> Dual:
        return self + (-other)

    def __rsub__(self, other: Any) -> Dual:
        return -self + other

    __radd__ = __add__
    __rmul__ = __mul__
