"""Compression of matrix product states: a QR sweep to the right, a singular value sweep back, all samples at once."""

from __future__ import annotations

import numpy as np


def compress(sites: list[np.ndarray], n_samples: int, tolerance: float) -> np.ndarray:
    """Bring states to the least bond dimensions, in place, and into right-canonical form.

    After the first sweep everything left of a cut is orthonormal, so that the singular values at the cut are the
    state's Schmidt coefficients σ; the last ones are dropped as long as their norm √(Σσ²) stays within the tolerance.
    The bond is that of the sample that needs most; in the others the rest of it is zeros. The parts dropped at
    different cuts are orthogonal: ‖ψ − ψ̃‖² is at most the sum of their weights.

    Parameters
    ----------
    sites : list of arrays of shape (n_samples or 1, D_k, 2, D_{k+1})
        Replaced by arrays of n_samples.
    n_samples : int
        Number of samples.
    tolerance : float
        Largest norm dropped at one cut of a normalised state.

    Returns
    -------
    ndarray of shape (n_samples,)
        Discarded weight Σσ² of each state, summed over the cuts.
    """
    discarded = np.zeros(n_samples)
    if all(site.shape[3] == 1 for site in sites):
        for k, site in enumerate(sites):
            sites[k] = np.broadcast_to(site, (n_samples, *site.shape[1:]))
        return discarded
    carried = np.ones((n_samples, 1, 1), complex)
    for k, site in enumerate(sites[:-1]):
        left, right = site.shape[1], site.shape[3]
        moved = (carried @ site.reshape(len(site), left, 2 * right)).reshape(n_samples, -1, right)
        orthonormal, carried = np.linalg.qr(moved)
        sites[k] = orthonormal.reshape(n_samples, -1, 2, orthonormal.shape[2])
    last = sites[-1]
    sites[-1] = (carried @ last.reshape(len(last), -1, 2)).reshape(n_samples, -1, 2, 1)
    for k in range(len(sites) - 1, 0, -1):
        site = sites[k]
        left, right = site.shape[1], site.shape[3]
        U, values, V = np.linalg.svd(site.reshape(n_samples, left, 2 * right), full_matrices=False)
        tails = np.cumsum(values[:, ::-1] ** 2, axis=1)[:, ::-1]  # weight from each singular value on
        ranks = np.maximum((tails > tolerance**2).sum(axis=1), 1)
        kept = int(ranks.max())
        dropped = np.arange(tails.shape[1]) >= ranks[:, None]
        discarded += np.where(dropped, values**2, 0.0).sum(axis=1)
        values[dropped] = 0.0
        sites[k] = np.ascontiguousarray(V[:, :kept]).reshape(n_samples, kept, 2, right)
        weighted = U[:, :, :kept] * values[:, None, :kept]
        before = sites[k - 1]
        sites[k - 1] = (before.reshape(n_samples, -1, left) @ weighted).reshape(n_samples, -1, 2, kept)
    return discarded
