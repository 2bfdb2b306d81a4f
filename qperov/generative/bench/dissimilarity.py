"""How far the local surroundings in a crystal are from those in others: the dissimilarity of the Materials Project.

Each site has, for every coordination number, the weight that CrystalNN gives it and, times this weight, order
parameters of the motifs of that number (octahedral, tetrahedral, …). Mean, standard deviation, minimum and maximum over
the sites make the fingerprint; the dissimilarity of two crystals is the distance of their fingerprints.

Settings and motifs are those of matminer's ``CrystalNNFingerprint_ops`` (distances and electronegativities ignored).
What differs: cells are first scaled to 15 Å³ an atom and rounded to 10⁻⁶, because CrystalNN looks for neighbours
within a fixed 7 Å. So the number depends on the shape of the cell and the places of the sites alone, and each distinct
geometry is worked out once. Sites shared by species, or by vacancies, count as full.

References
----------
N. E. R. Zimmermann and A. Jain, RSC Adv. 10, 6063 (2020), doi:10.1039/C9RA07755C.

H. Pan et al., Inorg. Chem. 60, 1590 (2021), doi:10.1021/acs.inorgchem.0c02996: CrystalNN.

L. Ward et al., Comput. Mater. Sci. 152, 60 (2018), doi:10.1016/j.commatsci.2018.05.018: matminer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from pymatgen.core import Lattice, Structure
from pymatgen.core.local_env import CN_OPT_PARAMS, CrystalNN, LocalStructOrderParams

from qperov.errors import DescriptorError
from qperov.evaluation.progress import Progress
from qperov.generative.bench.verdict import crash

#: Dissimilarity at and above which the Materials Project calls two crystals different.
THRESHOLD = 0.75
#: Volume to which cells are scaled, Å³ an atom.
ATOM_VOLUME = 15.0
#: Coordination numbers that have a place in the fingerprint.
COORDINATIONS = range(1, 25)
#: Order parameters beside those of pymatgen's motifs: a single bond, and Steinhardt's bond order where there are many.
UNSPECIFIC = {1: ("sgl_bd",), **dict.fromkeys((9, 10, 11, 12), ("q2", "q4", "q6"))}
#: Coordination numbers of no more weight keep it, but their order parameters are taken for zero: a third of the time
#: for a change of the dissimilarity by a few thousandths.
LEAST_WEIGHT = 0.01
_DECIMALS = 6

#: Shape of a cell and places of its sites: six lattice parameters, then three coordinates a site.
Geometry = tuple[float, ...]


def geometry(structure: Structure) -> Geometry:
    """Lattice parameters at 15 Å³ an atom and fractional coordinates, rounded: all that a fingerprint depends on.

    Raises
    ------
    DescriptorError
        For a cell without sites or volume.
    """
    volume = abs(structure.lattice.volume)
    if len(structure) == 0 or not volume > 0:
        raise DescriptorError("a cell without atoms or without volume has no fingerprint")
    scale = (ATOM_VOLUME * len(structure) / volume) ** (1 / 3)
    shape = np.round([*(scale * np.array(structure.lattice.abc)), *structure.lattice.angles], _DECIMALS)
    places = np.mod(np.round(np.mod(structure.frac_coords, 1.0), _DECIMALS), 1.0)
    return (*shape.tolist(), *places.ravel().tolist())


def fingerprint(structure: Structure) -> np.ndarray:
    """Order parameters of the sites: mean, standard deviation, minimum and maximum of each.

    Returns
    -------
    ndarray, shape (4, m)

    Raises
    ------
    DescriptorError
        For a cell without sites or volume.
    """
    return _fingerprint(geometry(structure))


def fingerprint_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Euclidean distance of two fingerprints."""
    return float(np.linalg.norm(first - second))


def fingerprints(
    structures: Sequence[Structure],
    n_jobs: int | None = None,
    progress: Progress | None = None,
    what: str = "fingerprints",
) -> list[np.ndarray | str]:
    """Fingerprints of many crystals; the reason, where one has none.

    Parameters
    ----------
    structures : sequence of Structure
    n_jobs : int, optional
        As in joblib.
    progress : Progress, optional
        Called with ``what`` for every distinct geometry.
    what : str

    Returns
    -------
    list of (ndarray, shape (4, m)) or str
    """
    keys: list[Geometry | str] = []
    for structure in structures:
        try:
            keys.append(geometry(structure))
        except Exception as error:
            keys.append(crash(error))
    distinct = list(dict.fromkeys(key for key in keys if not isinstance(key, str)))
    computed: dict[Geometry, np.ndarray | str] = {}
    results = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(_attempt)(key) for key in distinct)
    for key, result in zip(distinct, results, strict=True):
        computed[key] = result
        if progress is not None:
            progress(len(computed), len(distinct), what)
    return [key if isinstance(key, str) else computed[key] for key in keys]


def nearest(own: np.ndarray, others: np.ndarray) -> float:
    """Least dissimilarity of a fingerprint (shape (4, m)) to others (shape (n, 4, m))."""
    return float(np.sqrt(((others - own) ** 2).sum(axis=(1, 2)).min()))


def distinct_fingerprints(found: Iterable[np.ndarray | str]) -> np.ndarray:
    """The different ones among fingerprints, of which there must be one, shape (n, 4, m)."""
    return np.unique(np.array([own for own in found if isinstance(own, np.ndarray)]), axis=0)


def _attempt(key: Geometry) -> np.ndarray | str:
    try:
        return _fingerprint(key)
    except Exception as error:
        return crash(error)


def _fingerprint(key: Geometry) -> np.ndarray:
    places = np.reshape(key[6:], (-1, 3))
    # which element stands on a site does not count
    structure = Structure(Lattice.from_parameters(*key[:6]), ["H"] * len(places), places)
    sites = np.array([_site_parameters(structure, site) for site in range(len(structure))])
    return np.array([sites.mean(axis=0), sites.std(axis=0), sites.min(axis=0), sites.max(axis=0)])


def _site_parameters(structure: Structure, site: int) -> list[float]:
    neighbours = CrystalNN(distance_cutoffs=None, x_diff_weight=0).get_nn_data(structure, site)
    parameters = []
    for number in COORDINATIONS:
        weight = float(neighbours.cn_weights.get(number, 0.0))
        # a list of sites serves as a structure here
        around: Any = [structure[site], *(entry["site"] for entry in neighbours.cn_nninfo.get(number, []))]
        parameters.append(weight)
        for motif in _motifs()[number]:
            # order parameters are None where they have no meaning, as with neighbours in one place
            order = (
                motif.get_order_parameters(around, 0, list(range(1, number + 1)))[0] if weight > LEAST_WEIGHT else None
            )
            parameters.append(weight * float(order or 0.0))
    return parameters


@cache
def _motifs() -> dict[int, tuple[LocalStructOrderParams, ...]]:
    """Order parameters by coordination number, with pymatgen's parameters for its motifs."""
    listed: dict[int, dict[str, Any]] = CN_OPT_PARAMS
    return {
        number: tuple(
            # plain dictionaries: those read from YAML are slow
            LocalStructOrderParams([kind], parameters=[dict(given[0]) if given else None])
            for kind, *given in [*listed.get(number, {}).values(), *([name] for name in UNSPECIFIC.get(number, ()))]
        )
        for number in COORDINATIONS
    }
