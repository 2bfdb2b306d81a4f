"""The metrics on which generators of crystals are compared in the literature, as CDVAE's evaluation defines them.

- Structure validity: no two atoms of the cell nearer than 0.5 Å, and at least 0.1 Å³. Composition validity: charges
  balance and cations are less electronegative than anions (SMACT); elements and alloys pass. A valid crystal has both.
- Fingerprints: of a structure, the mean over its sites of matminer's ``CrystalNNFingerprint`` ("ops"); of a
  composition, matminer's ``ElementProperty`` ("magpie") less CDVAE's means and by its standard deviations.
- COV-R: share of the test crystals whose nearest sample is within 0.2 in structure, and whose nearest within 4 in
  composition. Another sample may be the nearest in composition. COV-P: the same of all samples, against test crystals.
- Earth mover's distances between valid samples and test crystals, of density, of the number of elements, and of a
  predicted property. CDVAE draws 1000 of the valid samples; here all of them count.
- Reconstruction: share of crystals whose reconstruction is valid and maps on them, and the mean root mean square
  distance of those that do, in (V/N)^⅓ (pymatgen's ``StructureMatcher``, 0.3, 0.5, 10°).

References
----------
T. Xie et al., ICLR (2022), arXiv:2110.06197, and its evaluation in the public repository txie-93/cdvae.

L. Ward et al., Comput. Mater. Sci. 152, 60 (2018), doi:10.1016/j.commatsci.2018.05.018: matminer.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from pymatgen.core import Structure
from pymatgen.core.structure_matcher import StructureMatcher
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from qperov.errors import EmptyDatasetError, MissingDependencyError
from qperov.evaluation.progress import Progress
from qperov.generative.bench.charge_balance import charge_verdict

#: Least distance between two atoms (Å) and least volume of a cell (Å³).
LEAST_DISTANCE, LEAST_VOLUME = 0.5, 0.1
#: Distances of fingerprints up to which a crystal counts as covered, for Perov-5.
STRUCTURE_CUTOFF, COMPOSITION_CUTOFF = 0.2, 4.0
#: Tolerances of the matcher of reconstructions: lengths, sites, degrees.
LENGTH_TOLERANCE, SITE_TOLERANCE, ANGLE_TOLERANCE = 0.3, 0.5, 10.0
#: Crystals described at once in one process.
CHUNK = 16


@dataclass(frozen=True, eq=False)
class DescribedCrystals:
    """What the metrics need of some crystals, in their order; what was not decoded is invalid and has no numbers.

    Attributes
    ----------
    structure_valid, composition_valid : ndarray of bool, shape (n,)
    structures : ndarray, shape (n, 61)
        Fingerprints of the structures; NaN where there is none.
    compositions : ndarray, shape (n, 132)
        Fingerprints of the compositions, standardised; NaN where the structure has none.
    density : ndarray, shape (n,)
        g/cm³.
    n_elements : ndarray, shape (n,)
    """

    structure_valid: np.ndarray
    composition_valid: np.ndarray
    structures: np.ndarray
    compositions: np.ndarray
    density: np.ndarray
    n_elements: np.ndarray

    def __len__(self) -> int:
        return len(self.structure_valid)

    @property
    def described(self) -> np.ndarray:
        """Which crystals have fingerprints, shape (n,)."""
        return np.isfinite(self.structures).all(axis=1)

    @property
    def valid(self) -> np.ndarray:
        """Both validities, and fingerprints, shape (n,)."""
        return self.structure_valid & self.composition_valid & self.described


def describe_crystals(
    structures: Sequence[Structure | None], *, n_jobs: int | None = None, progress: Progress | None = None
) -> DescribedCrystals:
    """Validity, fingerprints, density and number of elements of crystals; None for what was not decoded.

    Parameters
    ----------
    structures : sequence of Structure or None
    n_jobs : int, optional
        As in joblib.
    progress : Progress, optional
        Told of every few crystals.

    Raises
    ------
    MissingDependencyError
        matminer or SMACT is not installed.
    EmptyDatasetError
        There are no crystals.
    """
    if not len(structures):
        raise EmptyDatasetError("there are no crystals to describe")
    _featurizers()
    parts = [structures[start : start + CHUNK] for start in range(0, len(structures), CHUNK)]
    rows: list[tuple[Any, ...]] = []
    for found in Parallel(n_jobs=n_jobs, return_as="generator")(delayed(_describe)(part) for part in parts):
        rows += found
        if progress is not None:
            progress(len(rows), len(structures), "fingerprints")
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    mean, deviation = composition_scale()
    columns[3] = (columns[3] - mean) / deviation
    return DescribedCrystals(*columns)


def generation_metrics(
    samples: DescribedCrystals,
    test: DescribedCrystals,
    *,
    property_of_samples: np.ndarray | None = None,
    property_of_test: np.ndarray | None = None,
) -> dict[str, float]:
    """CDVAE's table of generated crystals, shares from 0 to 1.

    Parameters
    ----------
    samples, test : DescribedCrystals
    property_of_samples, property_of_test : ndarray, shapes (n_samples,), (n_test,), optional
        Predicted by one and the same model; what is NaN is left out.

    Returns
    -------
    dict of str to float
        ``structure_valid``, ``composition_valid``, ``valid``, ``cov_recall``, ``cov_precision``, ``emd_density``
        (g/cm³), ``emd_elements``, ``emd_property`` (NaN where none is given); distances are NaN without valid samples.

    Raises
    ------
    EmptyDatasetError
        No test crystal has a fingerprint.
    """
    truth = test.described
    if not truth.any():
        raise EmptyDatasetError("no test crystal has a fingerprint to compare with")
    rows = samples.described
    recall = precision = 0.0
    if rows.any():
        covered = [
            (kind.min(axis=1) <= cutoff, kind.min(axis=0) <= cutoff)
            for kind, cutoff in (
                (cdist(samples.structures[rows], test.structures[truth]), STRUCTURE_CUTOFF),
                (cdist(samples.compositions[rows], test.compositions[truth]), COMPOSITION_CUTOFF),
            )
        ]
        precision = (covered[0][0] & covered[1][0]).sum() / len(samples)
        recall = (covered[0][1] & covered[1][1]).mean()
    valid = samples.valid
    return {
        "structure_valid": float(samples.structure_valid.mean()),
        "composition_valid": float(samples.composition_valid.mean()),
        "valid": float(valid.mean()),
        "cov_recall": float(recall),
        "cov_precision": float(precision),
        "emd_density": _earth_mover(samples.density[valid], test.density),
        "emd_elements": _earth_mover(samples.n_elements[valid], test.n_elements),
        "emd_property": float("nan")
        if property_of_samples is None or property_of_test is None
        else _earth_mover(property_of_samples[valid], property_of_test),
    }


def reconstruction_metrics(
    structures: Sequence[Structure], reconstructed: Sequence[Structure | None], *, n_jobs: int | None = None
) -> dict[str, float]:
    """Share of crystals that their reconstructions match (``match``), and the mean distance of those (``rmse``).

    Raises
    ------
    EmptyDatasetError
        There are no structures.
    ValueError
        The two lists are not of one length.
    """
    if not len(structures):
        raise EmptyDatasetError("there are no crystals to compare with their reconstructions")
    if len(structures) != len(reconstructed):
        raise ValueError(f"{len(structures)} crystals have {len(reconstructed)} reconstructions")
    pairs = zip(structures, reconstructed, strict=True)
    found = np.array(Parallel(n_jobs=n_jobs)(delayed(_distance)(*pair) for pair in pairs), dtype=float)
    matched = np.isfinite(found)
    return {"match": float(matched.mean()), "rmse": float(found[matched].mean()) if matched.any() else float("nan")}


@cache
def composition_scale() -> tuple[np.ndarray, np.ndarray]:
    """CDVAE's means and standard deviations of the 132 numbers of a composition."""
    file = resources.files("qperov.generative").joinpath("data", "cdvae_composition_scale.json")
    shipped = json.loads(file.read_text(encoding="utf-8"))
    return np.array(shipped["mean"]), np.array(shipped["standard_deviation"])


def structure_valid(structure: Structure) -> bool:
    """Whether all atoms of the cell are 0.5 Å apart and the cell has 0.1 Å³; an atom's own images do not count."""
    matrix = structure.lattice.matrix
    if not np.isfinite(matrix).all() or not np.isfinite(structure.frac_coords).all():
        return False
    if abs(structure.volume) < LEAST_VOLUME or not len(structure):
        return False
    apart = np.array(structure.distance_matrix)
    np.fill_diagonal(apart, np.inf)
    return bool(apart.min() >= LEAST_DISTANCE)


def _describe(structures: Sequence[Structure | None]) -> list[tuple[Any, ...]]:
    return [_row(structure) for structure in structures]


def _row(structure: Structure | None) -> tuple[Any, ...]:
    site_featurizer, composition_featurizer = _featurizers()
    nothing = [np.full(len(each.feature_labels()), np.nan) for each in (site_featurizer, composition_featurizer)]
    if structure is None:
        return False, False, *nothing, np.nan, np.nan
    good, charges = structure_valid(structure), composition_valid(structure)
    elements = len(structure.composition.element_composition)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sites = [site_featurizer.featurize(structure, site) for site in range(len(structure))]
            composition = composition_featurizer.featurize(structure.composition.element_composition)
            return good, charges, np.mean(sites, axis=0), np.array(composition), float(structure.density), elements
    except Exception:  # what CrystalNN cannot describe has no fingerprint, and is not valid
        return good, charges, *nothing, np.nan, elements


def composition_valid(structure: Structure) -> bool:
    """Whether charges can balance; see :func:`~qperov.generative.bench.charge_balance.charge_verdict`."""
    try:
        return charge_verdict(structure.composition).passed
    except MissingDependencyError:
        raise
    except Exception:  # a composition that SMACT does not know
        return False


def _distance(structure: Structure, found: Structure | None) -> float:
    if found is None or not structure_valid(found) or not composition_valid(found):
        return float("nan")
    try:
        distance = StructureMatcher(LENGTH_TOLERANCE, SITE_TOLERANCE, ANGLE_TOLERANCE).get_rms_dist(found, structure)
    except Exception:  # cells on which the matcher gives up do not match
        return float("nan")
    return float("nan") if distance is None else float(distance[0])


def _earth_mover(own: np.ndarray, others: np.ndarray) -> float:
    own, others = own[np.isfinite(own)], others[np.isfinite(others)]
    return float(wasserstein_distance(own, others)) if len(own) and len(others) else float("nan")


@cache
def _featurizers() -> tuple[Any, Any]:
    try:
        from matminer.featurizers.composition.composite import ElementProperty
        from matminer.featurizers.site.fingerprint import CrystalNNFingerprint
    except ImportError as error:
        raise MissingDependencyError(
            f"fingerprints of crystals are matminer's: pip install 'qperov[generate]' ({error})"
        ) from error
    return CrystalNNFingerprint.from_preset("ops"), ElementProperty.from_preset("magpie")
