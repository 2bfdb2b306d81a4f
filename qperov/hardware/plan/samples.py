"""The samples of a plan: which they are, where they come from, and what was done to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Samples:
    """Samples that are measured.

    Attributes
    ----------
    ids : tuple of str
        Of a rectangular matrix those of the rows, then those of the columns.
    features : ndarray of shape (n_samples, n_features) or None
        After all steps but the bandwidth; None in plans of version 0.1.
    labels : ndarray or None
        What a model is to learn; of a rectangular matrix one label a column.
    origin : dict
        Name and fingerprint of the dataset, or file and hash of the table; target and unit of the labels.
    steps : tuple of str
        What was done to the data, first to last: rows chosen, features computed, scaling, components.
    kernel : dict
        Arguments of the kernel: feature_map, reps, entanglement, n_qubits, bandwidth; empty for an autoencoder.
    random_state : int or None
        Seed of all that was drawn.

    Raises
    ------
    ValueError
        Ids and features of different lengths.
    """

    ids: tuple[str, ...]
    features: np.ndarray | None = None
    labels: np.ndarray | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    kernel: dict[str, Any] = field(default_factory=dict)
    random_state: int | None = None

    def __post_init__(self) -> None:
        if self.features is not None and len(self.features) != len(self.ids):
            raise ValueError(f"{len(self.ids)} ids and features of {len(self.features)} samples do not fit together")

    def as_dict(self) -> dict[str, Any]:
        """All that is not an array, as JSON can hold it."""
        return {name: value for name, value in vars(self).items() if name not in ("features", "labels")}
