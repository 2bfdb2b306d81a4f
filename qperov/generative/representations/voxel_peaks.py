"""Atoms as Gaussians on a cubic grid, and atoms from the peaks of such an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial.distance import cdist, pdist

#: Width of every atom (Å), and the least value kept.
SIGMA = 0.26
CUT = 0.02
#: Distance (Å) at which a Gaussian falls to the cut, 0.727 Å.
REACH = SIGMA * float(np.sqrt(-2 * np.log(CUT)))
#: An atom that comes back further off (Å) is not had back.
MISPLACED = 0.05
#: Peaks looked at in one image: several times the atoms that a cube of 15 Å can hold.
MOST_ATOMS = 1000
#: Gauss–Newton steps at most, and the change (of a value of the image, or in Å) after which there are no more.
STEPS, CONVERGED = 12, 1e-7


def gaussian(squared: np.ndarray) -> np.ndarray:
    """p = exp(−r²/2σ²) of squared distances in Å², and 0 where that is below 0.02."""
    p = np.exp(-squared / (2 * SIGMA**2))
    return np.where(p >= CUT, p, 0.0)


def box_offsets(limits: np.ndarray) -> np.ndarray:
    """All (i, j, k) with |i|, |j|, |k| up to the limits, shape (n, 3)."""
    return np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in limits], indexing="ij"), axis=-1).reshape(-1, 3)


@cache
def cube(m: int) -> np.ndarray:
    """All (i, j, k) from −m to m, shape ((2m + 1)³, 3)."""
    return box_offsets(np.full(3, m))


@dataclass(frozen=True)
class PeakGrid:
    """An n × n × n grid over a cube, and the atoms seen on it.

    Attributes
    ----------
    n : int
    box : float
        Edge of the cube, Å; point (i, j, k) lies at (i, j, k) · box/n.
    """

    n: int
    box: float

    @property
    def step(self) -> float:
        """Distance of neighbouring points, Å."""
        return self.box / self.n

    def fault(self, places: np.ndarray) -> str | None:
        """Why atoms at ``places`` (Å, shape (n_atoms, 3)) cannot be had back from their image, if so.

        They cannot if they stand over the rim of the cube, or so close together that they make one maximum: that is
        tried out for atoms whose Gaussians overlap or whose nearest points may be neighbours.
        """
        furthest, limit = np.abs(places - self.box / 2).max(), self.box / 2 - REACH
        if furthest > limit:
            return f"an atom {furthest:.2f} Å from the middle of the cube along its axes, at most {limit:.2f} Å fit"
        least = pdist(places).min(initial=np.inf)
        if least < max(2 * REACH, 2 * np.sqrt(3) * self.step):
            found = self.places(self.image(places))
            if len(found) != len(places) or cdist(places, found).min(axis=1).max() > MISPLACED:
                return f"atoms of one element {least:.2f} Å apart blur into each other on {self.n}³ points"
        return None

    def image(self, places: np.ndarray) -> np.ndarray:
        """Sum of the Gaussians of atoms at ``places``, shape (n_atoms, 3) in Å, each cut at 0.02; shape (n, n, n)."""
        image = np.zeros((self.n,) * 3)
        points = self._patches(places)
        p = gaussian(((points * self.step - places[:, None]) ** 2).sum(axis=-1))
        inside = ((points >= 0) & (points < self.n)).all(axis=-1) & (p > 0)
        np.add.at(image, tuple(points[inside].T), p[inside])
        return image

    def places(self, image: np.ndarray, least_height: float = 0.5) -> np.ndarray:
        """Atoms of an image, shape (n_atoms, 3) in Å.

        Every local maximum is fitted by a Gaussian of width σ, free in place and height, while those of the other
        maxima are taken off the image. Atoms are those fitted to more than ``least_height``; a maximum that ends up
        within σ of a higher one is no other atom.
        """
        # the faintest maximum an atom can have lies half a step off in all directions; noise may halve it
        faintest = np.exp(-3 * (self.step / 2) ** 2 / (2 * SIGMA**2)) / 2
        start = _maxima(image, faintest)
        if not len(start):
            return np.empty((0, 3))
        places, heights = self._fitted(image, start)
        kept: list[int] = []
        for i in np.argsort(-heights):
            apart = np.linalg.norm(places[kept] - places[i], axis=1)
            if heights[i] > least_height and (apart > SIGMA).all():
                kept.append(int(i))
        return places[kept]

    def _fitted(self, image: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places (Å) and heights of the peaks that begin at the points ``start``, by Gauss–Newton steps."""
        margin = self._margin
        data = np.pad(image.astype(float), margin)
        points = self._patches(start * self.step)
        index = tuple(np.moveaxis(points + margin, -1, 0))
        seen = data[index]
        core = (np.abs(points - start[:, None]).max(axis=-1) <= 1) * np.maximum(seen, 0)
        places = np.einsum("pv,pvx->px", core, points) / core.sum(axis=1, keepdims=True) * self.step
        heights = np.ones(len(start))
        for _ in range(STEPS):
            offsets = points * self.step - places[:, None]
            shape = gaussian((offsets**2).sum(axis=-1))
            fitted = heights[:, None] * shape
            model = np.zeros_like(data)
            np.add.at(model, index, fitted)
            slopes = np.concatenate([shape[..., None], fitted[..., None] * offsets / SIGMA**2], axis=-1)
            normal = np.einsum("pva,pvb->pab", slopes, slopes) + 1e-9 * np.eye(4)
            change = np.linalg.solve(normal, np.einsum("pva,pv->pa", slopes, seen - model[index])[..., None])[..., 0]
            heights += change[:, 0]
            moved = places + np.clip(change[:, 1:], -self.step / 2, self.step / 2)
            places = np.clip(moved, (start - 1) * self.step, (start + 1) * self.step)
            if np.abs(change).max() < CONVERGED:
                break
        return places, heights

    @property
    def _margin(self) -> int:
        """Points on either side that a Gaussian may reach."""
        return int(np.ceil(REACH / self.step + 0.5))

    def _patches(self, places: np.ndarray) -> np.ndarray:
        """Points about each place that its Gaussian may reach, shape (n_places, n_points, 3)."""
        return np.round(places / self.step).astype(int)[:, None] + cube(self._margin)


def _maxima(image: np.ndarray, least: float) -> np.ndarray:
    """The highest points not below ``least`` nor below any of their 26 neighbours, shape (n_maxima, 3)."""
    points = np.argwhere(image >= least)
    values, padded = image[tuple(points.T)], np.pad(image, 1)
    top = np.all([values >= padded[tuple((points + 1 + offset).T)] for offset in cube(1)], axis=0)
    points = points[top][np.argsort(-values[top], kind="stable")[:MOST_ATOMS]]
    # points as high as one another about an atom that lies between them are one maximum
    beside = np.abs(points[:, None] - points).max(axis=-1) <= 1
    return points[~np.tril(beside, -1).any(axis=1)]
