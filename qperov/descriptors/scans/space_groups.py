"""SpaceGroupClassifier: the structure type of a film, learnt from simulated scans and refined on measured ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any, Self

import numpy as np
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.utils.validation import check_is_fitted

from qperov.datasets.film_simulation import simulated_films, standard_symbol
from qperov.descriptors.scans.lines import LineProfile
from qperov.descriptors.scans.patterns import check_patterns

#: Degrees: where a third of the simulated scans begin.
LATE_START = 10.0
#: How many scans are cut to one peak, and to how many degrees on both sides of it.
CUT_SHARE, CUT_WIDTH = 0.1, (0.3, 1.0)
#: Copies of measured scans differ in this many points of shift, and in the logarithm of their heights.
SHIFT, HEIGHTS = 2, 0.25
BATCH, REFINING_RATE = 128, 5e-4
#: No network's probability is taken for less.
LEAST = 1e-6


@lru_cache(maxsize=4)
def simulated_lines(
    crystals: int, copies: int, random_state: int, peaks: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Lines of simulated scans of every prototype, shape (7 · crystals · copies, m), and their space groups.

    Parameters
    ----------
    crystals : int
        Of each structure type.
    copies : int
        Scans of each crystal.
    random_state : int
    peaks : bool
        As in `LineProfile`.
    """
    films = simulated_films(crystals, copies, random_state=random_state)
    profile = LineProfile(background=None, peaks=peaks)
    lines = profile.fit_transform(films.patterns).astype(np.float32)
    rng = np.random.default_rng([random_state, 1])
    angles = profile.angles
    for row in lines:
        if rng.random() < 1 / 3:
            row[angles < LATE_START] = 0
        _cut(row, angles, rng)
    assert films.y is not None
    return lines, films.y


class SpaceGroupClassifier(ClassifierMixin, BaseEstimator):
    """Space groups of halide perovskite films from measured scans.

    Networks of one hidden layer learn to tell simulated scans of all prototypes (`draw_prototypes`, `augment`) apart;
    then they go on with the measured scans, in copies that are shifted and whose heights are changed, among simulated
    ones. So classes are known of which nothing was measured. Probabilities are geometric means over the networks.

    Parameters
    ----------
    crystals, copies : int
        Simulated crystals of each structure type, and scans of each.
    repeats : int
        Copies of each measured scan in each pass.
    passes : int
        Over the measured scans and as many as ``mixed`` simulated ones.
    mixed : int
    networks : int
    hidden : int
        Units.
    epochs : int
        Over the simulated scans.
    peaks : bool
        Learn lists of peaks instead of profiles.
    random_state : int

    Attributes
    ----------
    classes_ : ndarray of str
        The labels given, and the space groups of prototypes that none of them is.
    networks_ : list of MLPClassifier
    """

    def __init__(
        self,
        *,
        crystals: int = 400,
        copies: int = 3,
        repeats: int = 6,
        passes: int = 3,
        mixed: int = 3000,
        networks: int = 3,
        hidden: int = 256,
        epochs: int = 20,
        peaks: bool = False,
        random_state: int = 0,
    ) -> None:
        self.crystals = crystals
        self.copies = copies
        self.repeats = repeats
        self.passes = passes
        self.mixed = mixed
        self.networks = networks
        self.hidden = hidden
        self.epochs = epochs
        self.peaks = peaks
        self.random_state = random_state

    def fit(self, X: Any, y: Sequence[str] | np.ndarray | None = None) -> Self:
        """Learn from simulated scans, and from measured ones where labels are given.

        Raises
        ------
        ValueError
            If a label is the space group of no prototype.
        """
        patterns = check_patterns(X)
        lines, symbols = simulated_lines(self.crystals, self.copies, self.random_state, self.peaks)
        known = np.unique(symbols)
        own = np.array([] if y is None else [standard_symbol(label) for label in y], dtype=str)
        if strange := sorted(set(own) - set(known)):
            raise ValueError(f"no prototype has the space group '{strange[0]}'; there are {', '.join(known)}")
        names = {} if y is None else dict(zip(own, np.asarray(y, dtype=str), strict=True))
        self.classes_ = np.array([names.get(symbol, symbol) for symbol in known])
        self.networks_ = []
        measured = LineProfile(peaks=self.peaks).fit_transform(patterns) if len(own) else np.empty((0, lines.shape[1]))
        for number in range(self.networks):
            network = _pretrained(
                self.crystals, self.copies, self.random_state, self.peaks, self.hidden, self.epochs, number
            )
            self.networks_.append(
                self._refined(network, measured, own, np.random.default_rng([self.random_state, number]))
            )
        self.n_features_in_ = 1
        return self

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of the probabilities of ``classes_``, shape (n, n_classes)."""
        check_is_fitted(self, "networks_")
        lines = LineProfile(peaks=self.peaks).fit_transform(check_patterns(X))
        means = np.mean([np.log(network.predict_proba(lines) + LEAST) for network in self.networks_], axis=0)
        return means - logsumexp(means, axis=1, keepdims=True)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of ``classes_``, shape (n, n_classes)."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest space groups, shape (n,)."""
        return self.classes_[self.predict_log_proba(X).argmax(axis=1)]

    def _refined(
        self, network: MLPClassifier, measured: np.ndarray, symbols: np.ndarray, rng: np.random.Generator
    ) -> MLPClassifier:
        if not len(measured):
            return network
        network = deepcopy(network)
        network.batch_size = "auto"  # batches are made here
        network._optimizer.learning_rate_init = REFINING_RATE
        lines, labels = simulated_lines(self.crystals, self.copies, self.random_state, self.peaks)
        angles = LineProfile().angles
        for _ in range(self.passes):
            some = rng.choice(len(lines), min(self.mixed, len(lines)), replace=False)
            others = np.array([_varied(row, angles, rng) for row in np.repeat(measured, self.repeats, axis=0)])
            X = np.concatenate([lines[some], others])
            y = np.concatenate([labels[some], np.repeat(symbols, self.repeats)])
            order = rng.permutation(len(X))
            for start in range(0, len(X), BATCH):
                batch = order[start : start + BATCH]
                network.partial_fit(X[batch], y[batch])
        return network


@lru_cache(maxsize=16)
def _pretrained(
    crystals: int, copies: int, random_state: int, peaks: bool, hidden: int, epochs: int, number: int
) -> MLPClassifier:
    """A network that knows simulated scans only."""
    lines, symbols = simulated_lines(crystals, copies, random_state, peaks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped early on purpose
        return MLPClassifier(
            (hidden,), alpha=1e-3, batch_size=BATCH, max_iter=epochs, random_state=random_state + number
        ).fit(lines, symbols)


def _varied(row: np.ndarray, angles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lines of a scan a little shifted, with heights that a slow wave changes, now and then cut to one peak."""
    wave = np.sin(rng.uniform(0.05, 0.4) * np.arange(len(row)) + rng.uniform(0, 2 * np.pi))
    varied = np.roll(row, rng.integers(-SHIFT, SHIFT + 1)) * np.exp(rng.normal(0, HEIGHTS) * wave)
    _cut(varied, angles, rng)
    return varied / max(float(varied.max()), np.finfo(float).tiny)


def _cut(row: np.ndarray, angles: np.ndarray, rng: np.random.Generator) -> None:
    if rng.random() < CUT_SHARE:
        row[np.abs(angles - angles[row.argmax()]) > rng.uniform(*CUT_WIDTH)] = 0
