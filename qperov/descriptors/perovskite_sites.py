"""What sits on the sites of a five-atom perovskite, and how far apart: what a crystallographer would look at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations, product
from typing import Any, Self

import numpy as np
from pymatgen.core import Element, Structure
from sklearn.base import BaseEstimator, TransformerMixin

from qperov.descriptors.matminer import TableFeaturizing
from qperov.errors import DescriptorError

#: Properties of an element, by pymatgen's names of them (https://pymatgen.org).
PROPERTIES = {
    "electronegativity (Pauling)": "X",
    "period": "row",
    "group": "group",
    "atomic radius (Å)": "atomic_radius",
    "melting point (K)": "melting_point",
    "Mendeleev number": "mendeleev_no",
    "first ionisation energy (eV)": "ionization_energy",
    "electron affinity (eV)": "electron_affinity",
    "molar volume (cm³/mol)": "molar_volume",
}
#: Those that are taken where none are named.
DEFAULT_PROPERTIES = tuple(PROPERTIES)[:6]
#: A, B, and X along each axis from B, in cell edges.
IDEAL = np.array([(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)])
SITES = ("A", "B", "X1", "X2", "X3")
#: B–X bonds and A–X contacts of each X: its two nearest B and its four nearest A.
NEIGHBOURS = {"B": 2, "A": 4}
#: Sum of squared distances of the five atoms from their ideal places, in cell edges, above which it is no perovskite;
#: in Perov-5, whose atoms lie up to a quarter of the edge away, it reaches 0.32.
FARTHEST = 0.5
_IMAGES = np.array(list(product((-1, 0, 1), repeat=3)))


def perovskite_roles(structure: Structure) -> np.ndarray:
    """Sites of A, B and the X along the three axes of the cell from B, shape (5,).

    X are the three most electronegative atoms. Of the ways to call the others A and B, and to give each X an axis, that
    one is taken which leaves atoms nearest to the ideal places, in cell edges and for the best common shift: in a
    cubic perovskite B has its X half an edge away, A has them half a diagonal of a face away.

    Raises
    ------
    DescriptorError
        The cell has not five sites, of one element each, or they lie elsewhere.
    """
    if len(structure) != 5 or not structure.is_ordered:
        raise DescriptorError(f"{structure.formula}: site features are those of cells of five sites, one element each")
    # asking pymatgen for X of an element that has none would warn
    electronegativities = np.array([Element(site.specie.symbol).data.get("X") or np.nan for site in structure], float)
    if np.isnan(electronegativities).any():
        symbols = ", ".join(site.specie.symbol for site in structure)
        raise DescriptorError(f"one of {symbols} has no electronegativity, so that X cannot be told")
    anions = np.sort(np.argsort(-electronegativities, kind="stable")[:3])
    cations = [site for site in range(5) if site not in anions]
    ways = np.array([[*pair, *along] for pair in permutations(cations) for along in permutations(anions)])
    away = structure.frac_coords[ways] - IDEAL
    # one of the five atoms may be taken for the origin without crossing a face
    shifted = away[:, None] - away[:, :, None]
    shifted -= np.round(shifted)
    shifted -= shifted.mean(axis=2, keepdims=True)
    misfits = (shifted**2).sum(axis=(2, 3)).min(axis=1)
    if misfits.min() > FARTHEST:
        raise DescriptorError(f"{structure.formula}: its five atoms do not lie as in a perovskite")
    return ways[misfits.argmin()]


def ordered_axes(structure: Structure, roles: np.ndarray) -> np.ndarray:
    """The axes in an order that does not depend on how the cell was set, shape (3,): by the atomic number of their X,
    then by how unequal its two bonds with B are, the most unequal first."""
    numbers = [structure[int(site)].specie.Z for site in roles[2:]]
    bonds = distances(structure, roles[1], roles[2:], NEIGHBOURS["B"])
    unequal = np.round(np.ptp(bonds, axis=1), 3)
    return np.lexsort((-unequal, numbers))


def distances(structure: Structure, centre: int, others: np.ndarray, count: int) -> np.ndarray:
    """The shortest distances of one site to the images of each of others, ascending, in Å, shape (n_others, count)."""
    steps = structure.frac_coords[others] - structure.frac_coords[centre]
    images = (steps - np.round(steps))[:, None] + _IMAGES
    return np.sort(np.linalg.norm(images @ structure.lattice.matrix, axis=2), axis=1)[:, :count]


class SiteFeatures(TableFeaturizing, TransformerMixin, BaseEstimator):
    """Site-resolved numbers of ABX₃ cells of five atoms: 39 with the six properties.

    Each property of the elements on A, B and three X; the cell's edge along B–X1, B–X2 and B–X3 (Å); mean, least and
    standard deviation of the six B–X and of the twelve A–X distances (Å). The three X are in the order of their atomic
    number, so that the numbers do not depend on how the cell was set. Nothing is learnt.

    Parameters
    ----------
    properties : sequence of str
        Of `PROPERTIES`; by default the first six.

    Examples
    --------
    >>> import qperov
    >>> crystals = qperov.load_dataset("perov5").structures[:4]
    >>> SiteFeatures().fit_transform(crystals).shape
    (4, 39)
    """

    def __init__(self, properties: Sequence[str] = DEFAULT_PROPERTIES) -> None:
        self.properties = properties

    @property
    def description(self) -> str:
        """What reports call the features."""
        return "perovskite sites" + (
            "" if tuple(self.properties) == DEFAULT_PROPERTIES else f" ({len(self.properties)})"
        )

    def fit(self, X: Sequence[Structure], y: Any = None) -> Self:
        """Nothing is learnt."""
        self.feature_labels()
        return self

    def transform(self, X: Sequence[Structure]) -> np.ndarray:
        """Features, shape (n_crystals, 5 n_properties + 9).

        Raises
        ------
        DescriptorError
            A cell has not five sites, or a property is not tabulated for an element.
        """
        return self.feature_rows(X)

    def feature_rows(self, entries: Sequence[Structure]) -> np.ndarray:
        """As :meth:`transform`."""
        rows = [self._row(structure, number) for number, structure in enumerate(entries)]
        return np.array(rows).reshape(-1, len(self.feature_labels()))

    def feature_labels(self) -> list[str]:
        """A name for each column.

        Raises
        ------
        ValueError
            An unknown property.
        """
        if unknown := sorted(set(self.properties).difference(PROPERTIES)):
            raise ValueError(f"unknown property {unknown[0]!r}; known: {', '.join(PROPERTIES)}")
        lengths = [
            f"{which} {pair} distance (Å)" for pair in ("B–X", "A–X") for which in ("mean", "least", "spread of")
        ]
        edges = [f"edge along B–{site} (Å)" for site in SITES[2:]]
        return [*(f"{site}: {name}" for site in SITES for name in self.properties), *edges, *lengths]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Column names, shape (n_features,)."""
        return np.array(self.feature_labels(), dtype=object)

    def _row(self, structure: Structure, number: int) -> np.ndarray:
        try:
            roles = perovskite_roles(structure)
            axes = ordered_axes(structure, roles)
            roles[2:] = roles[2:][axes]
            elements = [tabulated(structure[int(site)].specie.symbol, tuple(self.properties)) for site in roles]
        except DescriptorError as error:
            raise DescriptorError(f"structure {number}: {error}") from error
        pairs = (distances(structure, roles[role], roles[2:], NEIGHBOURS[SITES[role]]) for role in (1, 0))
        shapes = [(apart.mean(), apart.min(), apart.std()) for apart in pairs]
        return np.concatenate([*elements, np.array(structure.lattice.abc)[axes], *shapes])


@cache
def tabulated(symbol: str, properties: tuple[str, ...]) -> np.ndarray:
    """Properties of an element, shape (n_properties,).

    Raises
    ------
    DescriptorError
        One of them is not tabulated.
    """
    element = Element(symbol)
    values = [getattr(element, PROPERTIES[name]) for name in properties]
    for name, value in zip(properties, values, strict=True):
        if value is None or not np.isfinite(value):
            raise DescriptorError(f"no {name} is tabulated for {symbol}; leave it out of the properties")
    return np.array(values, dtype=float)
