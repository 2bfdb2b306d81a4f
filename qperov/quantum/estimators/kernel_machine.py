"""What the estimators with a kernel share: which kernel they take, when it is evaluated, and at which samples."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils import Tags

from qperov.errors import ConcentratedKernelWarning
from qperov.quantum.gram.concentration import concentration_warning
from qperov.quantum.kernels.bandwidth import resolved_kernel
from qperov.quantum.kernels.fidelity import FidelityKernel


class KernelMachine(BaseEstimator):
    """Base of estimators with a ``kernel`` that is a Gaussian-process kernel, "precomputed" or None.

    None is ``FidelityKernel(bandwidth="median")``. The fitted copy is kept as ``kernel_``.
    """

    family = "quantum"

    kernel: Kernel | str | None
    kernel_: Kernel | str

    def _training_matrix(self, samples: np.ndarray, y: np.ndarray) -> np.ndarray:
        """K(train, train), with ``kernel_`` resolved on the way; the samples themselves if it is precomputed.

        Labels are floats for regression, and whole numbers, one a class, for classification.

        Raises
        ------
        ValueError
            An unknown kernel, or a precomputed matrix that is not square.
        """
        if self.kernel is None:
            self.kernel_ = resolved_kernel(FidelityKernel(bandwidth="median"), samples, y)
        elif isinstance(self.kernel, Kernel):
            self.kernel_ = resolved_kernel(self.kernel, samples, y)
        elif isinstance(self.kernel, str) and self.kernel == "precomputed":
            self.kernel_ = self.kernel
        else:
            raise ValueError(f"kernel must be a Gaussian-process kernel, 'precomputed' or None, got {self.kernel!r}")
        gram = samples if isinstance(self.kernel_, str) else self.kernel_(samples)
        if gram.shape != (len(samples), len(samples)):
            raise ValueError(f"a precomputed kernel matrix must be square for fit, got shape {gram.shape}")
        diagonal = gram.diagonal()
        if np.allclose(diagonal, diagonal[0]) and diagonal[0] > 0:  # what else is precomputed may mean anything
            # entries of other kernels are no frequencies, whose noise is known
            shots = self.kernel_.shots if isinstance(self.kernel_, FidelityKernel) else None
            message = concentration_warning(gram / diagonal[0], shots)
            if message is not None:
                warnings.warn(message, ConcentratedKernelWarning, stacklevel=3)
        return gram

    def _keep_support(self, solver: Any, samples: np.ndarray) -> None:
        """Which samples the fitted solver kept, and those themselves unless the kernel is precomputed."""
        self.support_ = solver.support_
        self.support_vectors_ = samples[self.support_] if isinstance(self.kernel_, Kernel) else samples[:0]

    def _matrix_with(self, samples: np.ndarray, rows: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        """K(samples, fitted), where ``fitted`` are the rows of the training data that matter."""
        if len(rows) == 0:
            return np.empty((len(samples), 0))
        return samples[:, rows] if isinstance(self.kernel_, str) else self.kernel_(samples, fitted)

    def set_params(self, **params: Any) -> KernelMachine:
        """Parameters by name; ``kernel__bandwidth`` is that of the default kernel where none is given."""
        if self.kernel is None and "kernel" not in params and any(name.startswith("kernel__") for name in params):
            self.kernel = FidelityKernel(bandwidth="median")
        return super().set_params(**params)

    def __setstate__(self, state: dict[str, Any]) -> None:
        renamed = {"tol": "tolerance"}  # as 0.1 wrote it
        super().__setstate__({renamed.get(name, name): value for name, value in state.items()})

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = isinstance(self.kernel, str) and self.kernel == "precomputed"
        return tags
