"""Codes drawn from the latent space of a trained generator, and the crystals that they stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure
from sklearn.utils.validation import check_is_fitted

from qperov.generative.models.latent import nearest_to_target, perturb, posterior_sample, prior_sample, slerp_between
from qperov.generative.models.latent_search import targeted_search

SAMPLING = ("prior", "posterior", "local", "slerp", "target")


class LatentSampling:
    """`sample_latent` and `sample` of a generator that knows the codes and labels of its training crystals."""

    mode: str
    latent_: np.ndarray
    _check_labelled: Callable[[], np.ndarray]
    _property_head: Callable[[], Callable[[np.ndarray], np.ndarray]]
    decode: Callable[[ArrayLike], list[Structure | None]]

    def sample_latent(
        self,
        n: int,
        *,
        random_state: int | np.random.Generator | None = None,
        method: str = "posterior",
        target: float | None = None,
        scale: float = 0.5,
        neighbours: int = 10,
    ) -> np.ndarray:
        """Codes to decode, shape (n, latent); fewer for ``"slerp"`` where the arcs have no more points.

        Parameters
        ----------
        n : int
        random_state : int, Generator or None
            ``None`` draws other codes each time.
        method : {"prior", "posterior", "local", "slerp", "target"}
            N(0, I); a Gaussian fitted to the training codes; noise round training codes; points on the arcs between
            them; a search for codes with the target property, which starts from them.
        target : float, optional
            In the property's unit. Then ``"local"``, ``"slerp"`` and ``"target"`` take the training crystals nearest to
            it; ``"target"`` needs one. Otherwise crystals drawn at random.
        scale : float
            Standard deviation of the noise of ``"local"``, and reach of ``"target"`` (root mean square over the
            dimensions); in standard deviations of the training codes, in the published mode in those of the prior.
        neighbours : int
            Training crystals to start from.

        Raises
        ------
        MissingLabelError
            A target is given, but the model was fitted without labels.
        """
        check_is_fitted(self, "weights_")
        if method not in SAMPLING:
            raise ValueError(f"method must be one of {SAMPLING}, not {method!r}")
        rng = np.random.default_rng(random_state)
        if method == "prior":
            return prior_sample(n, self.latent_.shape[1], rng)
        if method == "posterior":
            return posterior_sample(self.latent_, n, rng)
        if target is not None:
            labels = self._check_labelled()
            near = nearest_to_target(labels, target, neighbours)
        else:
            near = rng.choice(len(self.latent_), size=min(neighbours, len(self.latent_)), replace=False)
        starts = self.latent_[near]
        if method == "slerp":
            return slerp_between(starts, n, rng)
        spread = np.maximum(self.latent_.std(axis=0), np.finfo(float).tiny)
        if self.mode == "published":
            spread = np.ones_like(spread)
        if method == "local":
            return perturb(starts, scale, n, rng, spread=spread)
        if target is None:
            raise ValueError('method="target" needs a target')
        from_here = perturb(starts, scale / 2, n, rng, spread=spread)
        return targeted_search(self._property_head(), target, from_here, rng, spread=spread, reach=scale).codes

    def sample(
        self,
        n: int,
        *,
        random_state: int | np.random.Generator | None = None,
        method: str = "posterior",
        target: float | None = None,
        scale: float = 0.5,
        neighbours: int = 10,
    ) -> list[Structure | None]:
        """Decoded codes of `sample_latent`, with its parameters; ``None`` where there is no crystal."""
        codes = self.sample_latent(
            n, random_state=random_state, method=method, target=target, scale=scale, neighbours=neighbours
        )
        return self.decode(codes)
