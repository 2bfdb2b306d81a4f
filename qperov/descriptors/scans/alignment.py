"""Zero shift and sample displacement of measured patterns, found against a reference."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError

from qperov.descriptors.scans.patterns import CommonGrid, check_patterns, shift_angles
from qperov.diffraction.measured import MeasuredPattern, subtract_background

#: Shifts that are tried before the best is refined.
TRIALS = 81


class Alignment(TransformerMixin, BaseEstimator):
    r"""Patterns whose angles are corrected by a shift that makes them most like a reference.

    A sample displaced by s from the axis of a goniometer of radius R shows
    :math:`2\theta_\mathrm{obs} = 2\theta + \delta\cos\theta` with :math:`\delta = -2s/R` (radians); a zero shift is the
    same at all angles. The shift within ``limit`` is taken that maximises the correlation of
    :math:`\sqrt{\max(I, 0)}`, background taken off, with the reference. A change of the lattice shifts peaks too, by
    tan θ: what is aligned is blind to a part of it.

    Parameters
    ----------
    kind : {"displacement", "zero"}
    reference : MeasuredPattern, optional
        By default the mean of the patterns given to ``fit``.
    limit : float
        Degrees: the largest shift.
    step : float
        Degrees: grid on which patterns are compared.

    Attributes
    ----------
    reference_ : ndarray of float, shape (m,)
        On ``grid_.two_theta_``.
    shifts_ : ndarray of float, shape (n,)
        Degrees, of the patterns that were transformed last.

    References
    ----------
    L. M. D. Cranswick, "Zero shift vs sample shift", Rietveld users' list (1998), after Klug and Alexander,
    http://www.cristal.org/DU-SDPD/rietveld_l/1998/00000167.htm.
    """

    def __init__(
        self,
        kind: str = "displacement",
        *,
        reference: MeasuredPattern | None = None,
        limit: float = 0.3,
        step: float = 0.02,
    ) -> None:
        self.kind = kind
        self.reference = reference
        self.limit = limit
        self.step = step

    def fit(self, X: Any, y: Any = None) -> Self:
        """Make the reference.

        Raises
        ------
        ValueError
            If ``kind`` is unknown or ``limit`` not positive.
        """
        if self.kind not in ("displacement", "zero") or not self.limit > 0:
            raise ValueError(f"kind must be displacement or zero and limit positive, not {self.kind!r}, {self.limit}")
        patterns = check_patterns(X) if self.reference is None else [self.reference]
        self.grid_ = CommonGrid(step=self.step).fit(patterns)
        rows = np.array([self._root(subtract_background(pattern)) for pattern in patterns])
        self.reference_ = (rows / np.maximum(rows.max(axis=1), np.finfo(float).tiny)[:, None]).mean(axis=0)
        return self

    def transform(self, X: Any) -> list[MeasuredPattern]:
        """The patterns with corrected angles."""
        if not hasattr(self, "reference_"):
            raise NotFittedError("Alignment is not fitted: call fit, or fit_transform, first")
        patterns = check_patterns(X)
        self.shifts_ = np.array([self._shift(subtract_background(pattern)) for pattern in patterns])
        return [self._shifted(each, shift) for each, shift in zip(patterns, self.shifts_.tolist(), strict=True)]

    def _shifted(self, pattern: MeasuredPattern, shift: float) -> MeasuredPattern:
        return shift_angles(pattern, shift, 0.0) if self.kind == "zero" else shift_angles(pattern, 0.0, shift)

    def _shift(self, flat: MeasuredPattern) -> float:
        def unlike(shift: float) -> float:
            row = self._root(self._shifted(flat, shift))
            return -float(np.corrcoef(row, self.reference_)[0, 1]) if row.std() > 0 else 0.0

        trials = np.linspace(-self.limit, self.limit, TRIALS)
        best = float(trials[np.argmin([unlike(shift) for shift in trials])])
        near = 2 * self.limit / (TRIALS - 1)
        bounds = (max(best - near, -self.limit), min(best + near, self.limit))
        return float(minimize_scalar(unlike, bounds=bounds, method="bounded").x)

    def _root(self, flat: MeasuredPattern) -> np.ndarray:
        angles = self.grid_.two_theta_
        return np.interp(angles, flat.two_theta, np.sqrt(np.maximum(flat.intensity, 0)))
