"""TL-VAE's image of a perovskite: 60 × 88 pixels in three channels, direct space beside reciprocal space.

Channel c holds element c of the crystal, in ABX₃: A, B and X (`canonical_cells` gives the order). The layout is our
own; what is public of the authors' stands below.

Columns 0 – 30 are direct space:

- rows 0 – 8, columns 0 – 17: the printed periodic table with its f-block below, 1 at the element;
- rows 0 – 3, columns 18 – 20: a, b, c / max_length; rows 4 – 7: α, β, γ / 180°; alike in all rows and channels;
- rows 9 – 21: 13 chemical properties of the element, each a one-hot row;
- rows 22 – 59: site by site of this element, 1 where there is one; then (1 + cos 2πx)/2, (1 + sin 2πx)/2 and the same
  of y and z, ½ where there is no site.

Columns 31 – 87 are reciprocal space, one hkl each:

- rows 0 – 43: F(hkl) of 44 property bins, a third of all 132 in each channel;
- row 44: F(hkl) of the sites of this element;
- row 45: (1 + g_c / 1.5 Å⁻¹)/2, with c = x, y, z in the three channels;
- row 46: |g| / 1.5 Å⁻¹; row 47: d / max_length (0 for 000).

All else is zero. Coordinates are points on circles, so that there is no seam at the faces of the cell, and an error of
the image of δ makes one of about δ/π in the coordinate.

**Reciprocal space.** The 57 hkl are those with |h| + |k| + |l| ≤ 3 and no index above 2, 000 among them. F(hkl) =
1/N Σⱼ pⱼ exp 2πi(h xⱼ + k yⱼ + l zⱼ) over the N sites, where pⱼ is 1 if the element of site j is in bin p. Of each
Friedel pair, the column whose first index other than 0 is positive holds (1 + Re F)/2, that of −h, −k, −l holds
(1 + Im F)/2 of its own F: together all of F, and nothing twice. F is periodic; unlike its modulus, it depends on the
origin. The vector g is that of the cell oriented as by pymatgen's ``Lattice.from_parameters``; |g| and its components
are cut off at ±1.5 Å⁻¹. The way back needs direct space alone.

**The published image** (``mode="published"``, equation 1 of the paper) takes the logarithm of the exponential, which
undoes it: its Fourier columns hold Σⱼ pⱼ π(hx + ky + lz). Public is the layout of its ancestor of 154 × 60 numbers
(``input_img.py`` of github.com/chenebuah/high_dim_descriptor). Three columns of direct space, one an element: lattice
vectors (3 rows), angles (1), coordinates of 20 sites (20), then one-hot group (18), period (9), electronegativity,
covalent radius (10 each), valence (9), ionisation energy, electron affinity (10 each), block (4), molar volume, ionic
radius, polarisability, specific heat and thermal conductivity (10 each). 56 columns of reciprocal space: 18 rows of
zeros, reciprocal vectors and their angles (4), |g|, d, and the same properties transformed; a column of zeros for 000.
Not public: TL-VAE's own image of 60 × 88 × 3 numbers, as many as 264 rows of 60 hold. Which 110 rows it has beyond the
ancestor's, and how they are folded into the image, is not said; so the rows stand as above in both modes. Its 13
properties are those of crystal-graph networks and four more: mean ionic radius, polarisability, specific heat and
thermal conductivity. Melting point and Mendeleev number stand here for polarisability and specific heat, which no
library in use tabulates.

E. T. Chenebuah, M. Nganbe, A. B. Tchagang, Proc. Canadian AI 2023, doi:10.21428/594757db.07402193.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure

from qperov.generative.representations.canonical_cells import CanonicalCell, canonicalise, crystal, physical_lattice
from qperov.generative.representations.element_properties import (
    ELEMENTS,
    THERMOCHEMICAL_PROPERTIES,
    periodic_table_place,
    property_table,
)
from qperov.generative.representations.representation import MODES, Block, checked_arrays

SHAPE = (60, 88, 3)
ANGLE_SCALE = 180.0
#: Scale of |g| and its components, Å⁻¹.
G_SCALE = 1.5
#: Sites of one element that have a row.
MAX_SITES = 38
#: Property bins of one channel.
CHANNEL_BINS = 44
_Z = {symbol: z for z, symbol in enumerate(ELEMENTS)}
_PLACES = np.array([periodic_table_place(symbol) for symbol in ELEMENTS])

_DIRECT, _CHANNELS = 31, slice(0, 3)
_RECIPROCAL = slice(_DIRECT, SHAPE[1])
BLOCKS: Mapping[str, Block] = {
    "elements": (slice(0, 9), slice(0, 18), _CHANNELS),
    "lengths": (slice(0, 4), slice(18, 21), _CHANNELS),
    "angles": (slice(4, 8), slice(18, 21), _CHANNELS),
    "properties": (slice(9, 22), slice(0, _DIRECT), _CHANNELS),
    "occupancy": (slice(22, 60), slice(0, 1), _CHANNELS),
    "coordinates": (slice(22, 60), slice(1, 7), _CHANNELS),
    "structure_factors": (slice(0, 45), _RECIPROCAL, _CHANNELS),
    "g_vectors": (slice(45, 46), _RECIPROCAL, _CHANNELS),
    "g": (slice(46, 47), _RECIPROCAL, _CHANNELS),
    "d": (slice(47, 48), _RECIPROCAL, _CHANNELS),
}


@cache
def image_hkl() -> np.ndarray:
    """The 57 hkl of the columns, in ascending order of h² + k² + l², then by falling h, k, l; shape (57, 3)."""
    indices = np.array([hkl for hkl in product(range(2, -3, -1), repeat=3) if sum(map(abs, hkl)) <= 3])
    hkl = indices[np.argsort((indices**2).sum(axis=1), kind="stable")]
    hkl.flags.writeable = False
    return hkl


@cache
def _real_columns() -> np.ndarray:
    """Which columns hold the real part: 000, and those whose first index other than 0 is positive."""
    return np.array([next((i for i in hkl if i), 0) >= 0 for hkl in image_hkl().tolist()])


@dataclass(frozen=True)
class TLVAEImage:
    """TL-VAE's image, laid out as this module's introduction says.

    Parameters
    ----------
    max_length : float
        Longest edge, in Å; smaller ones spread the lengths of small cells better over [0, 1].
    least_occupancy : float
        On the way back, a site exists where its pixel is more than this.
    mode : {"repaired", "published"}
    """

    max_length: float = 20.0
    least_occupancy: float = 0.5
    mode: str = "repaired"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, not {self.mode!r}")
        if not self.max_length > 0:
            raise ValueError("max_length must be positive")

    @property
    def shape(self) -> tuple[int, int, int]:
        return SHAPE

    @property
    def species(self) -> tuple[str, ...]:
        return ELEMENTS

    @property
    def blocks(self) -> Mapping[str, Block]:
        """``elements``, ``lengths``, ``angles``, ``properties``, ``occupancy``, ``coordinates``, ``structure_factors``,
        ``g_vectors``, ``g`` and ``d``."""
        return BLOCKS

    @property
    def choices(self) -> Mapping[str, tuple[int, ...]]:
        """The element on the periodic table, and the bin of each property."""
        return {"elements": (0, 1), "properties": (1,)}

    def encode(self, structures: Sequence[Structure]) -> np.ndarray:
        """Images of crystals, float32, shape (n, 60, 88, 3).

        Raises
        ------
        EmptyDatasetError
            There is none.
        RepresentationError
            Some have more than three elements, more than 38 sites of one, too long an edge, shared sites, or an element
            beyond Lr.
        """
        cells = canonicalise(structures, self._fault)
        images = np.zeros((len(cells), *SHAPE), np.float32)
        for image, cell in zip(images, cells, strict=True):
            self._fill(image, cell)
        return images

    def decode(self, arrays: ArrayLike) -> list[Structure | None]:
        """Crystals of images of shape (n, 60, 88, 3).

        The element is the brightest pixel of the periodic table; edges and angles are means over rows and channels.
        ``None`` where there is no site or a site has no element, where a pixel is not finite, or where the angles leave
        no volume.
        """
        return [self._crystal(image) for image in checked_arrays(arrays, SHAPE)]

    def _fault(self, cell: CanonicalCell) -> str | None:
        sites = np.bincount(cell.slots)
        if sites.max() > MAX_SITES:
            return f"{sites.max()} sites of {cell.elements[sites.argmax()]}, at most {MAX_SITES} fit"
        return cell.fault(ELEMENTS, SHAPE[2], self.max_length)

    def _fill(self, image: np.ndarray, cell: CanonicalCell) -> None:
        part = {name: image[block] for name, block in BLOCKS.items()}
        z = np.array([_Z[symbol] for symbol in cell.elements])
        channels, sites = np.arange(len(z)), np.bincount(cell.slots)
        row = np.arange(len(cell.slots)) - (np.cumsum(sites) - sites)[cell.slots]
        part["elements"][*_PLACES[z].T, channels] = 1
        part["lengths"][:] = (cell.lengths / self.max_length)[:, None]
        part["angles"][:] = (cell.angles / ANGLE_SCALE)[:, None]
        properties = property_table(THERMOCHEMICAL_PROPERTIES)[z]
        start = 0
        for line, known in enumerate(THERMOCHEMICAL_PROPERTIES):
            part["properties"][line, : known.bins, channels] = properties[:, start : start + known.bins]
            start += known.bins
        part["occupancy"][row, 0, cell.slots] = 1
        turns = 2 * np.pi * cell.positions
        circles = np.stack([np.cos(turns), np.sin(turns)], axis=-1).reshape(-1, 6)
        part["coordinates"][:] = 0.5
        part["coordinates"][row, :, cell.slots] = (1 + circles) / 2
        self._fill_reciprocal(part, cell, properties)

    def _fill_reciprocal(self, part: Mapping[str, np.ndarray], cell: CanonicalCell, properties: np.ndarray) -> None:
        hkl, real = image_hkl(), _real_columns()
        phases = cell.positions @ hkl.T
        if self.mode == "published":
            waves = np.pi * phases.astype(complex)
        else:
            waves = np.exp(2j * np.pi * phases) / len(cell.slots)
        by_element = np.zeros((SHAPE[2], len(hkl)), complex)
        np.add.at(by_element, cell.slots, waves)
        factors = np.concatenate([properties.T @ by_element[: len(properties)], by_element])
        stored = np.where(real, factors.real, factors.imag)
        factors = factors.real if self.mode == "published" else (1 + stored) / 2
        bins, own = factors[: -SHAPE[2]], factors[-SHAPE[2] :]
        part["structure_factors"][:CHANNEL_BINS] = bins.reshape(SHAPE[2], CHANNEL_BINS, len(hkl)).transpose(1, 2, 0)
        part["structure_factors"][CHANNEL_BINS] = own.T
        vectors = hkl @ np.linalg.inv(cell.lattice).T
        g = np.linalg.norm(vectors, axis=1)
        part["g_vectors"][0] = (1 + np.clip(vectors / G_SCALE, -1, 1)) / 2
        part["g"][0] = np.minimum(g / G_SCALE, 1)[:, None]
        spacings = np.divide(1 / self.max_length, g, out=np.zeros_like(g), where=g > 0)
        part["d"][0] = spacings[:, None]

    def _crystal(self, image: np.ndarray) -> Structure | None:
        if not np.isfinite(image).all():
            return None
        part = {name: image[block] for name, block in BLOCKS.items()}
        row, channel = np.nonzero(part["occupancy"][:, 0] > self.least_occupancy)
        table = part["elements"][*_PLACES.T]
        if not (table[:, channel].max(axis=0) > 0).all():
            return None
        circles = part["coordinates"][row, :, channel].reshape(-1, 3, 2) - 0.5
        lengths = np.minimum(part["lengths"].mean(axis=(0, 2)), 1.0) * self.max_length
        return crystal(
            physical_lattice(lengths, part["angles"].mean(axis=(0, 2)) * ANGLE_SCALE),
            [ELEMENTS[z] for z in table.argmax(axis=0)[channel]],
            np.arctan2(circles[..., 1], circles[..., 0]) / (2 * np.pi),
        )
