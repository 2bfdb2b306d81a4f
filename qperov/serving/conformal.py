"""Prediction intervals from the errors that a model made on crystals it was not trained on.

The interval is ŷ(x) ± q, ŷ the model trained on all crystals and q a quantile of |yᵢ − ŷ₋ₖ₍ᵢ₎(xᵢ)|, the errors on the
folds of a comparison that held crystal i out (the cross-validation residuals of Barber et al.). CV+ would keep the
models of all folds, predict with each, and then be sure of 1 − 2α without any assumption; around one model, 1 − α needs
that leaving out a fold moves predictions less than they err, and errs on the safe side as models of the folds have seen
fewer crystals.

Symmetry copies, and crystals that a descriptor cannot tell apart, err together, and a new crystal belongs to no known
group. So each of G groups has the weight 1/(G + 1), shared by its residuals, and what is left, 1/(G + 1), stands for
the new group and lies at infinity: hierarchical conformal prediction, exact where groups are exchangeable. With groups
of one it is the ⌈(n + 1)(1 − α)⌉-th smallest residual.

The width is one for all crystals: errors on cpx321 do not grow with the distance to the training crystals (rank
correlations from −0.09 to 0.21 for ten models), and intervals in proportion to it came out no narrower.

MAPIE would fit the models of the folds again, and gives every crystal one weight; what is needed here is one quantile.

References
----------
R. F. Barber, E. J. Candès, A. Ramdas, R. J. Tibshirani, Predictive inference with the jackknife+, Ann. Statist. 49, 486
(2021), doi:10.1214/20-AOS1965.
R. Dunn, L. Wasserman, A. Ramdas, Distribution-free prediction sets for two-layer hierarchical models, J. Am. Stat.
Assoc. 118, 2491 (2023), doi:10.1080/01621459.2022.2060112.
Y. Lee, R. F. Barber, R. Willett, Distribution-free inference with hierarchical data (2023), arXiv:2306.06342.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Sums of weights that agree to this are equal.
ROUNDING = 1e-9


def group_weights(groups: np.ndarray) -> np.ndarray:
    """1/((G + 1)·n_g) for each member of a group of n_g, shape (n,); they sum to G/(G + 1)."""
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return 1 / ((len(counts) + 1) * counts[inverse])


@dataclass(frozen=True, eq=False)
class ConformalResiduals:
    """Errors on crystals that were held out, and the groups they belong to.

    Attributes
    ----------
    residuals : ndarray, shape (m,)
        y − ŷ, in the unit of the label; several of one crystal where folds were dealt repeatedly.
    groups : ndarray of int, shape (m,)
    """

    residuals: np.ndarray
    groups: np.ndarray

    def __post_init__(self) -> None:
        if self.residuals.ndim != 1 or self.residuals.shape != self.groups.shape or not len(self.residuals):
            raise ValueError(f"each residual needs a group, got shapes {self.residuals.shape} and {self.groups.shape}")
        if not np.isfinite(self.residuals).all():
            raise ValueError("a residual is NaN or infinite")

    @property
    def n_groups(self) -> int:
        return len(np.unique(self.groups))

    def half_width(self, confidence: float) -> float:
        """q of the interval ŷ ± q that holds a new crystal's label with probability ``confidence``.

        Infinite where there are too few groups to tell: ``confidence`` above G/(G + 1).

        Raises
        ------
        ValueError
            Unless 0 < confidence < 1.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence lies between 0 and 1, such as 0.9, not {confidence}")
        size = np.abs(self.residuals)
        order = np.argsort(size)
        reached = np.cumsum(group_weights(self.groups)[order])
        place = int(np.searchsorted(reached, confidence - ROUNDING))
        return float(size[order[place]]) if place < len(order) else float("inf")
