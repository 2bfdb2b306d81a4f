"""Powder diffraction patterns, equal to those of pymatgen's XRDCalculator."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from pymatgen.analysis.diffraction.core import get_unique_families
from pymatgen.core import Lattice, Structure

from qperov.diffraction.crystal_batches import same_lattice, squares_together, squares_unlike, together_and_alone
from qperov.diffraction.peaks import MergedReflections, PeakLists, merge_reflections, peak_lists, unlike_peak_lists
from qperov.diffraction.radiation import SpectralLine, Wavelength, checked_range, g_limits, spectral_lines
from qperov.diffraction.reflections import TWO_THETA_STEP, Reflections, reflection_lists, reflections, same_bounds
from qperov.diffraction.scatterers import Scatterers, SiteKinds, crystal_list, scatterers_of
from qperov.diffraction.scattering import checked_debye_waller, one_blas_thread
from qperov.errors import DescriptorError, PatternError
from qperov.torch_support import check_device

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Crystals handed to one job.
CHUNK = 1024
#: Jobs per processor, so that none waits long for the last.
JOBS_PER_PROCESSOR = 4
#: hkl of unlike crystals worked on at once: enough that numpy's calls weigh little, few enough for a core's own cache.
UNLIKE_ENTRIES = 1 << 15
#: The same on a device, which wants more.
DEVICE_ENTRIES = 1 << 20


@dataclass(frozen=True)
class Experiment:
    """Source and range: everything about a pattern that is not the crystal."""

    wavelength: Wavelength
    two_theta_range: tuple[float, float]
    debye_waller: Mapping[str, float] | None = None

    @cached_property
    def lines(self) -> tuple[SpectralLine, ...]:
        """The spectral lines of the source."""
        return spectral_lines(self.wavelength)

    @property
    def g_range(self) -> tuple[float, float]:
        """Least and largest |g| in Å⁻¹ that any line shows."""
        return g_limits(self.wavelength, self.two_theta_range)

    def patterns(self, structures: Sequence[Structure]) -> list[Pattern]:
        """Powder patterns of crystals, as :func:`powder_patterns` computes them."""
        return powder_patterns(
            structures,
            wavelength=self.wavelength,
            two_theta_range=self.two_theta_range,
            debye_waller=self.debye_waller,
        )

    def merged(self, points: Reflections) -> MergedReflections:
        """The peaks of a lattice."""
        return merge_reflections(points, self.lines, self.two_theta_range)


@dataclass(frozen=True, eq=False, repr=False)
class Pattern:
    """A powder pattern: merged peaks in order of 2θ.

    Attributes
    ----------
    two_theta : ndarray, shape (n_peaks,)
        Degrees.
    intensity : ndarray, shape (n_peaks,)
        The strongest peak is 100.
    d_spacing : ndarray, shape (n_peaks,)
        Å.
    """

    two_theta: np.ndarray
    intensity: np.ndarray
    d_spacing: np.ndarray
    _lattice: np.ndarray | None = None
    _experiment: Experiment | None = None

    @cached_property
    def hkl(self) -> list[list[dict[str, Any]]]:
        """Families of each peak as pymatgen gives them: ``[{"hkl": (h, k, l), "multiplicity": m}, …]``.

        They are worked out when first asked for; a pattern of no known lattice has none.
        """
        if self._lattice is None:
            return [[] for _ in self.two_theta]
        hkl, peaks = self.reflections()
        members = np.split(hkl, np.searchsorted(peaks, np.arange(1, len(self))))
        hexagonal = Lattice(self._lattice).is_hexagonal()
        return [_families(own, hexagonal) for own in members]

    @property
    def lattice(self) -> np.ndarray:
        """Axes a, b, c in Å, shape (3, 3).

        Raises
        ------
        ValueError
            If the pattern was not computed from a crystal.
        """
        if self._lattice is None:
            raise ValueError("this pattern has no lattice: take one of powder_patterns")
        return self._lattice

    @property
    def wavelength(self) -> Wavelength:
        """The radiation, as it was given; Cu Kα where the pattern does not know it."""
        return "CuKa" if self._experiment is None else self._experiment.wavelength

    def reflections(self) -> tuple[np.ndarray, np.ndarray]:
        """hkl of one Friedel half, shape (n, 3), and the number of the peak that each is part of, ascending, (n,).

        Raises
        ------
        ValueError
            If the pattern was not computed from a crystal.
        """
        lattice, experiment = self.lattice, self._experiment
        assert experiment is not None  # a lattice comes with the experiment
        points = reflections(lattice, experiment.g_range)
        merged = experiment.merged(points)
        hkl = points.hkl if merged.which is None else points.hkl[merged.which]
        members = np.split(np.arange(len(hkl)), merged.starts[1:])
        own = np.searchsorted(_keys(merged.two_theta), _keys(self.two_theta))
        rows = [members[peak] for peak in own]
        return hkl[np.concatenate(rows)], np.repeat(np.arange(len(rows)), [len(each) for each in rows])

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the pattern: a line a peak, the strongest with their hkl.

        Parameters
        ----------
        axes : matplotlib Axes, optional
            Where to draw; by default a new figure.
        """
        from qperov.diffraction.figure import draw

        return draw(self, axes)

    def __len__(self) -> int:
        return len(self.two_theta)

    def __repr__(self) -> str:
        ends = f" from {self.two_theta[0]:.2f}° to {self.two_theta[-1]:.2f}°" if len(self) else ""
        return f"<Pattern of {len(self)} peaks{ends}>"

    def _repr_html_(self) -> str:
        from qperov.diffraction.figure import strongest_peaks

        table = strongest_peaks(self).to_html(index=False, float_format="{:.2f}".format)
        return f"<p>{escape(repr(self)[1:-1])}; the strongest:</p>{table}"


def _keys(two_theta: np.ndarray) -> np.ndarray:
    return np.round(two_theta / TWO_THETA_STEP)


def _families(members: np.ndarray, hexagonal: bool) -> list[dict[str, Any]]:
    indices = [tuple(int(i) for i in sign * row) for row in members for sign in (1, -1)]
    if hexagonal:
        indices = [(h, k, -h - k, ell) for h, k, ell in indices]
    return [{"hkl": hkl, "multiplicity": many} for hkl, many in get_unique_families(indices).items()]


@overload
def powder_patterns(
    structures: Sequence[Structure],
    *,
    wavelength: Wavelength = ...,
    two_theta_range: tuple[float, float] | None = ...,
    debye_waller: Mapping[str, float] | None = ...,
    n_jobs: int | None = ...,
    device: str | None = ...,
    on_error: Literal["raise"] = ...,
) -> list[Pattern]: ...


@overload
def powder_patterns(
    structures: Sequence[Structure],
    *,
    wavelength: Wavelength = ...,
    two_theta_range: tuple[float, float] | None = ...,
    debye_waller: Mapping[str, float] | None = ...,
    n_jobs: int | None = ...,
    device: str | None = ...,
    on_error: Literal["warn"],
) -> list[Pattern | None]: ...


def powder_patterns(
    structures: Sequence[Structure],
    *,
    wavelength: Wavelength = "CuKa",
    two_theta_range: tuple[float, float] | None = (0, 90),
    debye_waller: Mapping[str, float] | None = None,
    n_jobs: int | None = None,
    device: str | None = None,
    on_error: Literal["raise", "warn"] = "raise",
) -> list[Pattern] | list[Pattern | None]:
    """Powder patterns of many crystals at once.

    I(hkl) = |F(hkl)|² (1 + cos² 2θ) / (sin² θ cos θ), summed over all reflections whose 2θ agree to 1e-5°, peaks
    below 1e-3 of 100 dropped, the strongest scaled to 100. Crystals with one lattice share its reflections and form
    factors and, where their sites coincide, its phases. Sites with anisotropic displacements (site properties
    ``U11_cif`` …) are damped by them, as in pymatgen.

    Parameters
    ----------
    structures : sequence of Structure
        Any mixture of lattices; partial occupancies are welcome.
    wavelength : str, float, or sequence of (str or float, weight)
        A radiation known to pymatgen, or Å; several lines with their weights, such as
        ``[("CuKa1", 1.0), ("CuKa2", 0.5)]``, are added up.
    two_theta_range : (float, float), optional
        Degrees, within 0 … 180; ``None`` is all of it.
    debye_waller : mapping of str to float, optional
        Element → B in Å², for exp(−B s²).
    n_jobs : int, optional
        Processes (joblib's meaning: −1 is all; a cluster, or threads, by ``joblib.parallel_config``). They pay for
        many thousands of large cells that each have a lattice of their own: once started, which takes seconds, two
        processes on two idle cores were 1.4 times as fast as one for 135 atoms a cell, 1.15 times for 40, and slower
        for 5, since patterns must come back. Orderings of one cell are done sooner than they are handed over.
    device : str, optional
        Name of a torch device, such as ``"cuda"``, for the structure factors. The results are the same.
    on_error : "raise" or "warn"
        What follows if some crystals cannot have a pattern. All others are always worked out first; then the
        exception carries them, or a warning tells, and ``None`` stands in the place of each that has none.

    Returns
    -------
    list of Pattern
        In the order of ``structures``.

    Raises
    ------
    TypeError
        If ``structures`` is one crystal, a table, a path: anything but a list of crystals.
    ValueError
        On an unknown radiation, an impossible range, a Debye–Waller factor that is not a number or not of an element,
        or a device that is not there.
    PatternError
        If crystals have no pattern: no sites, a cell without volume, an element without scattering factor, nothing that
        scatters into the range. ``.reasons`` tells which and why, ``.patterns`` holds all others.
    MissingDependencyError
        If a device is named and torch is not installed.

    References
    ----------
    V. Pecharsky and P. Zavalij, Fundamentals of Powder Diffraction, Springer (2009).

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    >>> [pattern] = powder_patterns([salt])
    >>> pattern.two_theta[:3].round(2).tolist()
    [27.39, 31.73, 45.49]
    """
    if on_error not in ("raise", "warn"):
        raise ValueError(f"on_error is 'raise' or 'warn', not {on_error!r}")
    if device is not None:
        check_device(device)
    experiment = Experiment(wavelength, checked_range(two_theta_range), checked_debye_waller(debye_waller))
    sources = " and ".join(f"{line.wavelength} Å" for line in experiment.lines)
    # kept alive together, since sites are known by identity for the time of this call
    structures = crystal_list(structures)
    crystals, kinds, reasons = _taken_apart(structures, experiment)
    patterns: list[Pattern | None] = [None] * len(structures)
    rows = sorted(crystals, key=lambda row: crystals[row].lattice.tobytes())
    chunks = _chunks(rows, n_jobs)
    parcels = (_parcel([crystals[row] for row in chunk], kinds) for chunk in chunks)
    if len(chunks) == 1:
        results = (_chunk_peaks(*parcel, experiment, device) for parcel in parcels)
    else:
        jobs = (delayed(_chunk_peaks)(*parcel, experiment, device) for parcel in parcels)
        results = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    with one_blas_thread():
        for chunk, found in zip(chunks, results, strict=True):
            for peaks in found:
                stops = np.cumsum(peaks.counts).tolist()
                for member, start, stop in zip(peaks.rows.tolist(), [0, *stops], stops, strict=False):
                    row = chunk[member]
                    if start == stop:
                        low, high = experiment.two_theta_range
                        reasons[row] = f"no reflection between {low:g}° and {high:g}° at {sources}"
                        continue
                    patterns[row] = Pattern(
                        peaks.two_theta[start:stop],
                        peaks.intensity[start:stop],
                        peaks.d_spacing[start:stop],
                        crystals[row].lattice,
                        experiment,
                    )
    if reasons:
        error = PatternError(patterns, dict(sorted(reasons.items())))
        if on_error == "raise":
            raise error
        warnings.warn(str(error), stacklevel=2)
    return patterns


def _taken_apart(
    structures: Sequence[Structure], experiment: Experiment
) -> tuple[dict[int, Scatterers], SiteKinds, dict[int, str]]:
    """Arrays of the crystals that can have a pattern, and why the others cannot, by index."""
    kinds = SiteKinds()
    crystals: dict[int, Scatterers] = {}
    reasons: dict[int, str] = {}
    highest_g = experiment.g_range[1]
    previous: Scatterers | None = None
    for row, structure in enumerate(structures):
        try:
            crystal = scatterers_of(structure, kinds, highest_g, experiment.debye_waller)
        except DescriptorError as error:
            reasons[row] = str(error)
            continue
        crystals[row] = previous = crystal if previous is None else crystal.sharing(previous)
    return crystals, kinds, reasons


def _chunks(rows: Sequence[int], n_jobs: int | None) -> list[Sequence[int]]:
    processors = effective_n_jobs(n_jobs)
    size = CHUNK if processors == 1 else min(CHUNK, -(-len(rows) // (JOBS_PER_PROCESSOR * processors)))
    return [rows[start : start + size] for start in range(0, len(rows), max(1, size))]


def _parcel(crystals: list[Scatterers], kinds: SiteKinds) -> tuple[list[Scatterers], list[dict[str, float]]]:
    """Crystals with the kinds of site that they have, and no others."""
    used, codes = np.unique(np.concatenate([crystal.kinds for crystal in crystals]), return_inverse=True)
    ends = np.cumsum([len(crystal.kinds) for crystal in crystals])
    own = np.split(codes, ends[:-1])
    return [
        Scatterers(crystal.lattice, crystal.positions, code, crystal.ustar)
        for crystal, code in zip(crystals, own, strict=True)
    ], [kinds.table[kind] for kind in used]


def _chunk_peaks(
    crystals: list[Scatterers], kinds: list[dict[str, float]], experiment: Experiment, device: str | None
) -> list[PeakLists]:
    """Peaks of some crystals; ``rows`` count within the chunk."""
    g_range, damping = experiment.g_range, experiment.debye_waller
    found = []
    unlike = []
    for rows in same_lattice(crystals):
        together, alone = together_and_alone([crystals[row] for row in rows])
        unlike += [rows[index] for index in alone]
        if together:
            points = reflections(crystals[rows[0]].lattice, g_range)
            merged = experiment.merged(points)
        for group in together:
            members = np.array(rows)[group]
            shared = [crystals[row] for row in members]
            for block, squares in squares_together(points, shared, kinds, damping, device):
                found.append(peak_lists(merged, members[block], squares))
    entries = UNLIKE_ENTRIES if device is None else DEVICE_ENTRIES
    for bounds, batch in same_bounds(crystals, unlike, g_range[1], entries):
        own = [crystals[row] for row in batch]
        lists = reflection_lists(np.array([crystal.lattice for crystal in own]), bounds, g_range)
        squares = squares_unlike(lists, own, kinds, damping, device)
        found.append(unlike_peak_lists(lists, experiment.lines, experiment.two_theta_range, np.array(batch), squares))
    return found
