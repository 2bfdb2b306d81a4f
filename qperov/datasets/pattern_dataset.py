"""PatternDataset: measured powder patterns with one target each, and the groups that a split must not part."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from qperov.datasets.dataset import FEW_ROWS, Dataset
from qperov.diffraction.measured import MeasuredPattern, subtract_background
from qperov.errors import PatternRangeError, ReadingError

#: Patterns whose correlation is at least this are taken for repeats of one measurement.
NEAR_IDENTICAL = 0.99
#: Angles at which patterns are compared, and the part of the longer range that two of them must share.
GRID_POINTS, LEAST_OVERLAP = 1000, 0.5
#: Degrees: standard deviation of the filter before that; standard deviations of the noise that are cut off.
SMOOTH, NOISE_CUT = 0.05, 3.0
#: What is measured, not what of: it ends the names of files.
_SCAN = re.compile(r"([ _-]+(2-?theta|omega|th2th|gixrd|gixd|xrd|rt|room-?temp\w*|again|\(.*\)))+$", re.IGNORECASE)
_GENERIC = re.compile(r"(perovskite|film|powder|sample|scan)s?$", re.IGNORECASE)
_AMOUNT = re.compile(r"^([\d.,]+ ?(%|[mµu]?M|nm|at%|wt%)?[ _-]*)+(?=[^\W\d_]|$)")


@dataclass(frozen=True, eq=False, repr=False)
class PatternDataset(Dataset):
    """Measured patterns with one target each; immutable. Used wherever a `CrystalDataset` is.

    Attributes
    ----------
    name : str
        What reports call the dataset.
    patterns : tuple of MeasuredPattern
    ids : tuple of str
        Unique, in the order of ``patterns``.
    y : ndarray of float or of str, shape (n,), or None
        The target, in ``unit``, or the names of classes; None when no target was asked for.
    target, unit : str or None
    provenance : tuple of str
        Where each label comes from, in words that a report can print.
    issues : tuple of ReadingError
        What was left out while reading, and why.
    cautions : tuple of str
        Sentences about patterns and labels that a reader must see beside every score.
    known_groups : ndarray of int, shape (n,), or None
        What must stay on one side of a split; otherwise ``groups`` joins near-identical patterns.
    known_noise : float or None
        Standard deviation of repeated labels, in ``unit``.
    sources : tuple of str
        Citations and licence of the data.
    """

    SAMPLES, CALLED = "patterns", "measured patterns"
    CLASSES = True

    name: str
    patterns: tuple[MeasuredPattern, ...]
    ids: tuple[str, ...]
    y: np.ndarray | None = None
    target: str | None = None
    unit: str | None = None
    provenance: tuple[str, ...] = ()
    issues: tuple[ReadingError, ...] = ()
    cautions: tuple[str, ...] = ()
    known_groups: np.ndarray | None = None
    known_noise: float | None = None
    sources: tuple[str, ...] = ()

    @cached_property
    def groups(self) -> np.ndarray:
        """Groups, shape (n,): those that are known, or else those of ``near_identical``."""
        return near_identical(self.patterns) if self.known_groups is None else self.known_groups

    def _columns(self) -> dict[str, Any]:
        shown = self.patterns[:FEW_ROWS]
        return {"2θ": [f"{p.two_theta[0]:g}–{p.two_theta[-1]:g}°" for p in shown], "points": [len(p) for p in shown]}

    @property
    def label_noise(self) -> float | None:
        """``known_noise``: scans of one group are different samples, whose labels differ for good reasons."""
        return self.known_noise

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over ids, patterns (angles to 1e-6°, intensities to seven digits), wavelengths and labels (hex)."""
        digest = hashlib.sha256()
        for i, (pattern_id, pattern) in enumerate(zip(self.ids, self.patterns, strict=True)):
            digest.update(f"{pattern_id}\0{content_id(pattern)}".encode())
            if self.y is not None:
                label = self.y[i]
                digest.update(label.encode() if isinstance(label, str) else label.tobytes())
        return digest.hexdigest()

    @property
    def about(self) -> dict[str, Any]:
        """What a record keeps of the dataset; its sources among it."""
        return super().about | ({"sources": list(self.sources)} if self.sources else {})

    def within(self, low: float, high: float) -> PatternDataset:
        """The patterns that reach from ``low`` to ``high`` (2θ in degrees); the others become issues."""
        missed = [p.two_theta[0] > low + _slack(p) or p.two_theta[-1] < high - _slack(p) for p in self.patterns]
        issues = [
            PatternRangeError(
                self.ids[i],
                f"measured from {p.two_theta[0]:g}° to {p.two_theta[-1]:g}°, which misses a part of {low:g}° to "
                f"{high:g}°; measure it again or choose a narrower range",
            )
            for i, p in enumerate(self.patterns)
            if missed[i]
        ]
        return replace(self.take(~np.array(missed, dtype=bool)), issues=(*self.issues, *issues)) if issues else self


def content_id(pattern: MeasuredPattern) -> str:
    """SHA-256 (hex) of angles (1e-6°), intensities (seven digits) and wavelengths (1e-6 Å) of a pattern."""
    digest = hashlib.sha256(np.round(pattern.two_theta * 1e6).astype(np.int64).tobytes())
    digest.update(" ".join(f"{value:.6e}" for value in pattern.intensity + 0.0).encode())
    digest.update(repr([round(1e6 * each) for each in (pattern.wavelength or 0.0, *(pattern.kalpha or ()))]).encode())
    return digest.hexdigest()


def near_identical(patterns: Sequence[MeasuredPattern], threshold: float = NEAR_IDENTICAL) -> np.ndarray:
    r"""Groups of patterns that repeat each other, shape (n,), as consecutive integers.

    Two patterns are joined if Pearson's r of :math:`\sqrt{\max(I - 3\sigma, 0)}`, smoothed by 0.05°, background
    taken off, σ the noise, is at least the threshold on the range that both share; patterns that share less than half
    of the longer range, or are of different wavelengths, are not compared. Groups are the connected components.

    Parameters
    ----------
    patterns : sequence of MeasuredPattern
    threshold : float
    """
    n = len(patterns)
    if not n:
        return np.zeros(0, dtype=np.int64)
    low, high = min(p.two_theta[0] for p in patterns), max(p.two_theta[-1] for p in patterns)
    grid = np.linspace(low, high, GRID_POINTS)
    rows = np.array([_root(pattern, grid) for pattern in patterns])
    joined = np.eye(n, dtype=bool)
    for i in range(n):
        for j in range(i + 1, n):
            both = np.isfinite(rows[i]) & np.isfinite(rows[j])
            longer = max(np.isfinite(rows[i]).sum(), np.isfinite(rows[j]).sum())
            if patterns[i].wavelength == patterns[j].wavelength and both.sum() >= max(3, LEAST_OVERLAP * longer):
                a, b = rows[i][both] - rows[i][both].mean(), rows[j][both] - rows[j][both].mean()
                joined[i, j] = a @ b >= threshold * np.sqrt((a @ a) * (b @ b)) > 0
    return connected_components(csr_array(joined), directed=False)[1].astype(np.int64)


def series_of(name: str) -> str:
    """The series that the name of a scan tells: its first word without amounts, digits and what says how it was
    measured. ``FAPbI37_MAPbBr3_2-Theta`` and ``FAPbI3_gixrd`` are of ``FAPbI``; a name of digits alone is of ``""``.
    """
    words = re.split(r"[ _#(-]+", _AMOUNT.sub("", _SCAN.sub("", name)))
    return _GENERIC.sub("", re.sub(r"[\d.%]+", "", words[0]))


def groups_of(keys: Sequence[str]) -> np.ndarray:
    """Consecutive integers for equal keys, shape (n,)."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def describe_patterns(dataset: PatternDataset) -> str:
    """A dataset in plain text: ranges, radiation, groups, labels, sources, what was left out."""
    patterns = dataset.patterns
    wavelengths = Counter("not known" if p.wavelength is None else f"{p.wavelength:.5g} Å" for p in patterns)
    geometries = Counter(p.geometry for p in patterns if p.geometry)
    sizes = Counter(np.unique(dataset.groups, return_counts=True)[1].tolist())
    lines = [
        f"{dataset.name}: {len(dataset)} measured patterns in {sum(sizes.values())} groups of up to {max(sizes)}",
        f"2θ: {_span([p.two_theta[0] for p in patterns])} to {_span([p.two_theta[-1] for p in patterns])}°, step "
        f"{_span([float(np.median(np.diff(p.two_theta))) for p in patterns])}°",
        "wavelength: " + ", ".join(f"{what} ({many})" for what, many in wavelengths.most_common(8)),
    ]
    if geometries:
        lines.append("axes: " + ", ".join(f"{what} ({many})" for what, many in geometries.most_common(8)))
    if dataset.y is not None and dataset.y.dtype.kind == "f":
        lines.append(
            f"{dataset.target} [{dataset.unit or 'no unit'}]: mean {dataset.y.mean():.6g}, standard deviation "
            f"{dataset.y.std():.4g}, from {dataset.y.min():.6g} to {dataset.y.max():.6g}"
        )
    elif dataset.y is not None:
        within = [
            f"{label} ({(dataset.y == label).sum()} in {len(np.unique(dataset.groups[dataset.y == label]))} groups)"
            for label, _ in Counter(dataset.y.tolist()).most_common()
        ]
        lines.append(f"{dataset.target}: {', '.join(within)}")
    lines += [f"labels: {text} ({many})" for text, many in Counter(dataset.provenance).most_common()]
    kinds = Counter(type(issue).__name__ for issue in dataset.issues)
    lines += [f"left out: {many} × {kind}" for kind, many in kinds.most_common()]
    lines += [f"caution: {caution}" for caution in dataset.cautions]
    lines += [f"cite: {source}" for source in dataset.sources]
    return "\n".join(lines)


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.4g}" if f"{low:.4g}" == f"{high:.4g}" else f"{low:.4g}…{high:.4g}"


def _root(pattern: MeasuredPattern, grid: np.ndarray) -> np.ndarray:
    """√ of what stands out of background and noise; NaN beyond the pattern."""
    flat = subtract_background(pattern)
    points = SMOOTH / float(np.median(np.diff(pattern.two_theta)))
    noise = 1.4826 * np.median(np.abs(np.diff(flat.intensity))) / np.sqrt(2)
    # what a Gaussian filter leaves of independent noise
    noise /= np.sqrt(max(2 * np.sqrt(np.pi) * points, 1.0))
    lines = np.sqrt(np.maximum(gaussian_filter1d(flat.intensity, points) - NOISE_CUT * noise, 0))
    return np.interp(grid, flat.two_theta, lines, left=np.nan, right=np.nan)


def _slack(pattern: MeasuredPattern) -> float:
    """A pattern reaches what lies within one of its steps."""
    return float(np.diff(pattern.two_theta).max())
