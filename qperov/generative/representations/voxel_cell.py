"""A cell as the image of one atom in its middle, and the lattice from that image."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.ndimage import label

from qperov.generative.representations.voxel_peaks import (
    CONVERGED,
    CUT,
    REACH,
    SIGMA,
    STEPS,
    box_offsets,
    cube,
    gaussian,
)

#: Least values of the points that a first lattice is taken from: the brightest are the surest, but may be too few.
THRESHOLDS = (0.5, 0.3, 0.15, 0.07, CUT)
_QUADRATIC = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def cell_image(lattice: np.ndarray, n: int) -> np.ndarray:
    """One atom in the middle of the cell, on n³ points at fractions i/n along its axes: p = exp(−r²/2σ²), cut at 0.02.

    Parameters
    ----------
    lattice : ndarray, shape (3, 3)
        Rows a, b, c in Å.
    n : int
        Even.
    """
    image = np.zeros((n, n, n))
    offsets = _offsets_in_reach(lattice, n)
    image[tuple(offsets.T + n // 2)] = gaussian((((offsets / n) @ lattice) ** 2).sum(axis=1))
    return image


def cell_fault(lattice: np.ndarray, n: int) -> str | None:
    """Why a lattice cannot be had back from its image on n³ points, if so.

    The points at which the atom is seen must determine all six products a_i·a_j. Along an axis that takes an edge of at
    most n · 0.727 Å (23.3 Å for n = 32), and for a right angle between two axes their diagonal must be as short.
    """
    spacings = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    if spacings.min() <= 2 * REACH:
        return (
            f"lattice planes {spacings.min():.2f} Å apart: below {2 * REACH:.2f} Å the atom of the image meets itself"
        )
    if np.linalg.matrix_rank(_quadratic(_offsets_in_reach(lattice, n))) < len(_QUADRATIC):
        edges = ", ".join(f"{edge:.2f}" for edge in np.linalg.norm(lattice, axis=1))
        return (
            f"edges of {edges} Å: on {n}³ points the cell image does not determine them; an edge may be "
            f"{n * REACH:.1f} Å long at most, and so may the shorter diagonal of two; take a finer cell_grid"
        )
    return None


def lattice_of_image(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Lengths (Å) and angles (degrees) from a cell image, shape (n, n, n), or ``None`` where it determines none.

    The image is A exp(−q/2σ²), q = Σ u_i G_ij u_j at the fractions u of the axes, with the metric G_ij = a_i·a_j. A
    first G comes from ln p, which is linear in it, with weights p² that turn errors of p into those of its logarithm;
    it uses the brightest points about the middle that determine G. Gauss–Newton steps then fit A and G to all points
    at which q is within reach.

    The published inversion takes the same relation at one point an axis, the faintest, r = √(−2σ² ln p) n/i, and angles
    from three face diagonals. Without noise both are exact. With noise, the faintest points are the worst ones.
    """
    n = image.shape[0]
    metric = next(filter(lambda found: found is not None, (_first_metric(image, t) for t in THRESHOLDS)), None)
    if metric is None:
        return None
    near = _cell_design(n) @ metric <= (2 * REACH) ** 2
    design, p = _cell_design(n)[near], image[tuple(cube(n // 2 - 1)[near].T + n // 2)].astype(float)
    height = 1.0
    for _ in range(STEPS):
        squared = np.maximum(design @ metric, 0)
        within = squared <= REACH**2
        shape = np.exp(-squared[within] / (2 * SIGMA**2))
        slopes = np.column_stack([shape, -height / (2 * SIGMA**2) * shape[:, None] * design[within]])
        change = _least_squares(slopes, p[within] - height * shape)
        if change is None:
            return None
        height, metric = height + change[0], metric + change[1:]
        if np.abs(slopes @ change).max() < CONVERGED:
            break
    squares, products = metric[:3], metric[3:]
    if not (squares > (2 * REACH) ** 2).all():
        return None
    lengths = np.sqrt(squares)
    cosines = products * lengths / lengths.prod()
    return lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))


def _first_metric(image: np.ndarray, threshold: float) -> np.ndarray | None:
    """G_11, G_22, G_33, G_23, G_13, G_12 from points above ``threshold`` that hang together with the middle."""
    middle = image.shape[0] // 2
    clusters, _ = label(image >= threshold, structure=np.ones((3, 3, 3)))
    if not clusters[middle, middle, middle]:
        return None
    points = np.argwhere(clusters == clusters[middle, middle, middle])
    p = np.minimum(image[tuple(points.T)].astype(float), 1.0)
    design = np.column_stack([np.ones(len(p)), _quadratic((points - middle) / image.shape[0])])
    solution = _least_squares(p[:, None] * design, -2 * SIGMA**2 * p * np.log(p))
    return None if solution is None else solution[1:]


def _least_squares(design: np.ndarray, values: np.ndarray) -> np.ndarray | None:
    """The solution, where there is exactly one; columns may differ in size by any factor."""
    scale = np.linalg.norm(design, axis=0)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        return None
    solution, _, rank, _ = np.linalg.lstsq(design / scale, values, rcond=1e-8)
    return solution / scale if rank == design.shape[1] else None


def _offsets_in_reach(lattice: np.ndarray, n: int) -> np.ndarray:
    """Points (i, j, k), counted from the middle, at which an atom there is seen; shape (n_points, 3)."""
    # the ellipsoid r < REACH extends to REACH |a_i*| along axis i
    limits = np.minimum(np.linalg.norm(np.linalg.inv(lattice), axis=0) * REACH * n, n // 2 - 1).astype(int)
    box = box_offsets(limits)
    return box[((box / n @ lattice) ** 2).sum(axis=1) <= REACH**2]


@cache
def _cell_design(n: int) -> np.ndarray:
    return _quadratic(cube(n // 2 - 1) / n)


def _quadratic(offsets: np.ndarray) -> np.ndarray:
    """Columns u_i², and 2 u_i u_j for angles α, β, γ."""
    return np.stack([offsets[:, i] * offsets[:, j] * (1 if i == j else 2) for i, j in _QUADRATIC], axis=1)
