"""Labels of crystals that a generator learns from, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qperov.errors import InvalidLabelError, MissingLabelError, OrphanLabelError


def checked_labels(y: ArrayLike, n: int) -> np.ndarray:
    """Labels of n crystals, as numbers of shape (n,).

    Raises
    ------
    InvalidLabelError, MissingLabelError, OrphanLabelError
        One is not a finite number; there are fewer than n; there are more.
    """
    try:
        labels = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidLabelError("y", f"labels must be numbers ({error})") from error
    if labels.ndim != 1:
        raise InvalidLabelError("y", f"one property is learnt, of shape ({n},), not {labels.shape}")
    if len(labels) < n:
        raise MissingLabelError("y", f"{len(labels)} labels for {n} crystals; give one each")
    if len(labels) > n:
        raise OrphanLabelError("y", f"{len(labels)} labels for {n} crystals; give one each")
    bad = np.flatnonzero(~np.isfinite(labels))
    if len(bad):
        raise InvalidLabelError(
            "y", f"{len(bad)} of {n} labels are not finite, the first of crystal {bad[0]}; leave such crystals out"
        )
    return labels
