"""The kinds of feature that PXRDFeaturizer offers, one small class each: learn columns, then fill them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from pymatgen.core import Structure

from qperov.crystals.orderings.cluster_expansion import cluster_orbits, correlation_functions, spins_of
from qperov.crystals.parent_lattice import ParentLattice, parent_lattices
from qperov.descriptors import matrices
from qperov.descriptors.aligned_peaks import aligned_peaks, mean_lattice
from qperov.descriptors.matrices import mean_pattern, peak_intensities, peak_keys
from qperov.diffraction.measured import MeasuredPattern
from qperov.diffraction.patterns import Experiment, Pattern
from qperov.diffraction.profiles import STRONGEST, ProfileGrid, mean_wavelength, profiles
from qperov.diffraction.reflections import TWO_THETA_STEP
from qperov.diffraction.rounding import rounded
from qperov.errors import DescriptorError, PatternError

#: More merged peaks than this, per peak of one pattern, means that the crystals do not share peak positions.
MOST_COLUMNS_PER_PEAK = 20
#: Peaks of a matrix and of a vector in the published forms.
MATRIX_PEAKS, VECTOR_PEAKS = 28, 32
#: What makes a peak of a crystal and one of the reference the same peak.
ALIGNMENTS = ("two_theta", "hkl", "position")


class Kind(Protocol):
    """Columns learnt from the crystals given to ``fit`` (labels are never seen), filled for any crystals later.

    ``learn`` fixes the columns and returns what it has described on the way, which ``values`` turns into features
    without computing it again. Values are rounded by a scale fixed before: a crystal's features do not depend on which
    others are transformed with it.
    """

    names: list[str]

    def learn(self, structures: Sequence[Structure]) -> Any: ...

    def describe(self, structures: Sequence[Structure]) -> Any: ...

    def values(self, described: Any) -> np.ndarray: ...


class MergedPeaks:
    """Intensity at every merged 2θ key that occurs: columns ``I(2θ)``.

    A peak that none of the crystals given to ``fit`` shows has no column, and is left out later.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.describe = experiment.patterns
        self.names: list[str] = []

    def learn(self, structures: Sequence[Structure]) -> list[Pattern]:
        patterns = self.describe(structures)
        self._keys = np.unique(np.concatenate([peak_keys(p) for p in patterns]))
        if len(self._keys) > MOST_COLUMNS_PER_PEAK * np.median([len(p) for p in patterns]):
            raise DescriptorError(
                f"{len(self._keys)} different peak positions: these crystals do not share a lattice, so merged peaks "
                'say little. Use PXRDFeaturizer(kind="profile").'
            )
        self.names = [f"I({key * TWO_THETA_STEP:.5f}°)" for key in self._keys]
        return patterns

    def values(self, described: list[Pattern]) -> np.ndarray:
        values = np.zeros((len(described), len(self._keys)))
        for i, pattern in enumerate(described):
            keys = peak_keys(pattern)
            column = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
            known = self._keys[column] == keys
            if pattern.intensity[~known].sum() > pattern.intensity[known].sum():
                raise DescriptorError(
                    f"structure {i}: most of its intensity lies where no crystal given to fit has a peak, so it has "
                    'another lattice. Use PXRDFeaturizer(kind="profile").'
                )
            values[i, column[known]] = rounded(pattern.intensity[known], scale=STRONGEST)
        return values


class Profiles:
    """Broadened peaks on a 2θ grid: columns ``profile(2θ)``.

    A measured pattern looks like this, and crystals of different lattices can be compared by it.
    """

    def __init__(self, experiment: Experiment, grid: ProfileGrid) -> None:
        self._radiation = experiment
        self._grid = grid
        decimals = max(2, -int(np.floor(np.log10(grid.step))))
        self.names = [f"profile({angle:.{decimals}f}°)" for angle in grid.angles]

    def describe(self, structures: Sequence[Structure | MeasuredPattern]) -> list[Pattern | MeasuredPattern]:
        """Patterns of crystals; measured ones stay as they are."""
        crystals = [i for i, s in enumerate(structures) if not isinstance(s, MeasuredPattern)]
        described: list[Any] = list(structures)
        try:
            computed = self._radiation.patterns([described[i] for i in crystals])
        except PatternError as error:  # its indices are those among the crystals alone
            reasons = {crystals[i]: reason for i, reason in error.reasons.items()}
            raise PatternError([None] * len(described), reasons) from error
        for i, pattern in zip(crystals, computed, strict=True):
            described[i] = pattern
        return described

    learn = describe

    def values(self, described: list[Pattern | MeasuredPattern]) -> np.ndarray:
        return profiles(described, self._grid, self._radiation.wavelength)


def _degrees(pattern: Pattern, n_peaks: int) -> np.ndarray:
    return matrices.degree_matrix(pattern, n_peaks, weighted=True).diagonal()


class PeakMatrices:
    """A matrix or vector of one pattern, laid flat: columns ``kind[i]``."""

    def __init__(self, kind: str, experiment: Experiment, n_peaks: int | None) -> None:
        many = n_peaks or (VECTOR_PEAKS if kind == "autoencoder" else MATRIX_PEAKS)
        angle = max(experiment.two_theta_range)
        functions: dict[str, tuple[Callable[[Pattern, int], np.ndarray], int, float]] = {
            # kind: (function, number of columns, largest possible value)
            "gram": (matrices.gram_matrix, many**2, angle**2 + STRONGEST**2),
            "matganip": (matrices.matganip_matrix, many**2, np.sqrt(2)),
            "autoencoder": (matrices.autoencoder_vector, many, 1.0),
            "degree": (_degrees, many, many * np.hypot(angle, STRONGEST)),
            "adjacency": (matrices.adjacency_matrix, many**2, np.hypot(angle, STRONGEST)),
            "laplacian": (matrices.laplacian_matrix, many**2, many * np.hypot(angle, STRONGEST)),
        }
        self._n_peaks = many
        self._function, columns, self._scale = functions[kind]
        self.names = [f"{kind}[{i}]" for i in range(columns)]
        self.describe = self.learn = experiment.patterns

    def values(self, described: list[Pattern]) -> np.ndarray:
        values = np.zeros((len(described), len(self.names)))
        for i, (row, pattern) in enumerate(zip(values, described, strict=True)):
            try:
                row[:] = self._function(pattern, self._n_peaks).ravel()
            except DescriptorError as error:
                raise DescriptorError(f"structure {i}: {error}") from error
        return rounded(values, scale=float(self._scale))


class DifferencePeaks:
    """The papers' vectors of differences against a reference pattern: ``difference_gram`` and ``qsvr``."""

    _by_position = False  # those kept by 0.1 know nothing of it

    def __init__(
        self,
        kind: str,
        experiment: Experiment,
        reference: Structure | str | None,
        alignment: str,
        n_peaks: int | None,
    ) -> None:
        if alignment not in ALIGNMENTS:
            raise ValueError(f"unknown alignment {alignment!r}; known: {', '.join(ALIGNMENTS)}")
        if isinstance(reference, str) and reference != "first":
            raise ValueError(f'reference must be a structure, "first" or None (the mean pattern), not {reference!r}')
        gram = kind == "difference_gram"
        self._function = matrices.difference_gram if gram else matrices.qsvr_vector
        self._n_peaks = n_peaks or (MATRIX_PEAKS if gram else VECTOR_PEAKS)
        self._radiation = experiment
        self._given_reference = reference
        self._by_hkl = alignment == "hkl"
        self._by_position = alignment == "position"
        self.names = [f"{kind}[{i}]" for i in range(self._n_peaks**2 if gram else 2 * self._n_peaks)]

    def learn(self, structures: Sequence[Structure]) -> list[dict[int, float]]:
        given = structures[0] if isinstance(self._given_reference, str) else self._given_reference
        if self._by_hkl:
            self._lattice = mean_lattice(structures) if given is None else given.lattice
        peaks = self._peaks(structures)
        self._reference = mean_pattern(peaks if given is None else self._peaks([given]))
        shown = Counter(key for own in peaks for key in own)
        self._known = {key for key in self._reference if given is not None or 2 * shown[key] > len(peaks)}
        self._check(peaks)
        self._scale = float(max(np.abs(values).max() for values in self._rows(peaks)))
        return peaks

    def describe(self, structures: Sequence[Structure]) -> list[dict[int, float]]:
        peaks = self._peaks(structures)
        self._check(peaks)
        return peaks

    def _peaks(self, structures: Sequence[Structure]) -> list[dict[int, float]]:
        if self._by_hkl:
            return aligned_peaks(
                structures, self._lattice, mean_wavelength(self._radiation.wavelength), self._radiation.g_range
            )
        return [peak_intensities(pattern) for pattern in self._radiation.patterns(structures)]

    def _check(self, peaks: list[dict[int, float]]) -> None:
        if self._by_position:  # whatever the angles are
            return
        for i, own in enumerate(peaks):
            if 2 * sum(intensity for key, intensity in own.items() if key in self._known) < sum(own.values()):
                raise DescriptorError(
                    f"structure {i}: most of its intensity lies at angles where the others have no peak, so it has "
                    'another lattice. Use alignment="hkl", or PXRDFeaturizer(kind="profile").'
                )

    def _rows(self, peaks: list[dict[int, float]]) -> list[np.ndarray]:
        return [
            self._function(own, self._reference, self._n_peaks, by_position=self._by_position).ravel() for own in peaks
        ]

    def values(self, described: list[dict[int, float]]) -> np.ndarray:
        values = np.array(self._rows(described)).reshape(len(described), len(self.names))
        return rounded(values, scale=self._scale)


class Correlations:
    """Correlation functions of a decorated lattice up to ``max_order`` sites a cluster: columns ``Φ(i j …)``.

    Points are among them where the crystals differ in composition; where they do not, pairs tell as much.
    """

    def __init__(self, max_order: int) -> None:
        if max_order < 2:
            raise ValueError(f"max_order must be at least 2 (pairs), not {max_order}")
        self._max_order = max_order
        self.names: list[str] = []

    def learn(self, structures: Sequence[Structure]) -> np.ndarray:
        lattices = parent_lattices(structures)
        if len(lattices) != 1:
            raise DescriptorError(
                f"the crystals lie on {len(lattices)} different lattices; correlation functions need a common one. "
                'Use PXRDFeaturizer(kind="profile").'
            )
        self._parent: ParentLattice = lattices[0][0]
        spins = spins_of(lattices[0][2])
        if not self._parent.sites:
            raise DescriptorError("no site changes its species between these crystals: there is nothing to correlate")
        many = {choice for choice in self._parent.choices if len(choice) > 2}
        if many:
            raise DescriptorError(
                f"correlation functions are given for two species a sublattice, not {sorted(many)[0]}"
            )
        least_order = 1 if np.ptp(spins.sum(axis=1)) > 0 else 2
        self._orbits = [
            orbit
            for order in range(least_order, self._max_order + 1)
            for orbit in cluster_orbits(self._parent.permutations, order)
        ]
        self.names = ["Φ(" + " ".join(str(site) for site in orbit[0]) + ")" for orbit in self._orbits]
        return self.describe(structures)

    def describe(self, structures: Sequence[Structure]) -> np.ndarray:
        return spins_of(self._parent.occupations(structures))

    def values(self, described: np.ndarray) -> np.ndarray:
        return rounded(correlation_functions(described, self._orbits), scale=1.0)
