"""Global depolarising noise on measured fidelities: its strength from the diagonal, and its removal."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def preparation_survival(diagonal: ArrayLike, n_qubits: int, method: str = "mean") -> np.ndarray:
    """Probability p_i that a state's preparation survives the noise, from measured fidelities with itself.

    The circuit U(x_i) U(x_i)† prepares twice, so that K_ii = p_i² + (1 − p_i²)/2ⁿ instead of 1, and
    p_i = √((K_ii − 2⁻ⁿ) / (1 − 2⁻ⁿ)).

    Parameters
    ----------
    diagonal : array of shape (n_samples,)
        Measured K_ii.
    n_qubits : int
    method : "mean" or "split"
        One survival probability for all samples, p² being the mean of p_i² (M-MEAN; M-SINGLE if one entry is given);
        or one for each sample (M-SPLIT).

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        A diagonal entry (or their mean) not above 2⁻ⁿ: nothing of the state is left; an entry above 1; an unknown
        method.

    References
    ----------
    T. Hubregtsen et al., Phys. Rev. A 106, 042431 (2022), doi:10.1103/PhysRevA.106.042431, section V.
    """
    if method not in ("mean", "split"):
        raise ValueError(f"unknown method {method!r}; known are 'mean' and 'split'")
    floor = _floor(n_qubits)
    values = np.asarray(diagonal, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"diagonal must be a list of finite numbers, got shape {values.shape}")
    if values.max() > 1 + 1e-9:
        raise ValueError(f"diagonal entry {int(values.argmax())} is {values.max():.4g}: a fidelity is at most 1")
    pairs = (values - floor) / (1 - floor)
    if method == "mean":
        pairs = np.full(len(values), pairs.mean())
    if pairs.min() <= 0:
        worst = int(pairs.argmin())
        whose, value = ("all samples", values.mean()) if method == "mean" else (f"sample {worst}", values[worst])
        raise ValueError(
            f"measured self-fidelity of {whose} is {value:.4g}, not above {floor:.4g} = 1/2^{n_qubits}: depolarising "
            "noise has left nothing to correct"
        )
    return np.sqrt(pairs.clip(max=1.0))


def remove_depolarising(K: ArrayLike, n_qubits: int, rows: ArrayLike, columns: ArrayLike | None = None) -> np.ndarray:
    """Fidelities without global depolarising noise: K_ij = (K_ij^measured − (1 − p_i p_j)/2ⁿ) / (p_i p_j).

    Shot noise grows by 1/(p_i p_j), and entries may leave [0, 1]; `qperov.quantum.gram.repair.KernelRepair` makes the
    matrix a proper one again.

    Parameters
    ----------
    K : array of shape (n_rows, n_columns)
        Measured fidelities; a block between other and training samples is as good as a square matrix.
    n_qubits : int
    rows, columns : array of shape (n_rows,), (n_columns,)
        Survival probabilities from `preparation_survival`; columns None for a square matrix with those of the rows.

    Raises
    ------
    ValueError
        Shapes that do not fit, entries that are not finite, probabilities outside (0, 1].

    References
    ----------
    T. Hubregtsen et al., Phys. Rev. A 106, 042431 (2022), doi:10.1103/PhysRevA.106.042431, section V.
    """
    K = np.asarray(K, dtype=np.float64)
    left = np.asarray(rows, dtype=np.float64)
    right = left if columns is None else np.asarray(columns, dtype=np.float64)
    if K.shape != (len(left), len(right)):
        raise ValueError(f"K of shape {K.shape} does not fit survival probabilities of {len(left)} × {len(right)}")
    if not np.isfinite(K).all():
        raise ValueError("the kernel matrix has entries that are not finite")
    if not all(((p > 0) & (p <= 1)).all() for p in (left, right)):
        raise ValueError("survival probabilities must be above 0 and at most 1")
    survival = np.outer(left, right)
    return (K - (1 - survival) * _floor(n_qubits)) / survival


def _floor(n_qubits: int) -> float:
    """Fidelity with the maximally mixed state."""
    if n_qubits < 1:
        raise ValueError(f"there must be at least one qubit, got {n_qubits}")
    return 2.0**-n_qubits
