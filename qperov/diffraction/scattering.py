"""Squared structure factors |F(hkl)|² from arrays of positions and occupancies, on one processor or a device.

F(hkl) = Σ_e f_e(s) Σ_{j in e} o_j exp(2πi h·r_j), with s = |g|/2 and
f_e(s) = Z − 41.78214 s² Σ_k a_k exp(−b_k s²), times exp(−B_e s²) where a Debye–Waller factor is given. Coefficients
and conventions are pymatgen's (`XRDCalculator`, https://pymatgen.org); no anomalous dispersion.

Two ways to the same numbers. Crystals whose sites coincide need one matrix product: occupancies × (form factors ×
phases), in which only what differs from the first crystal takes part. A crystal on its own is separable in h, k and l:
exp(2πi h·r) = u^h v^k w^l, so that one product of an (hk × sites) with a (sites × l) table gives the whole box of hkl.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from numbers import Real
from typing import Any

import numpy as np
from pymatgen.analysis.diffraction.core import get_anisotropic_debye_waller_factors
from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS
from pymatgen.core import Element
from threadpoolctl import ThreadpoolController

from qperov.errors import DescriptorError
from qperov.torch_support import import_torch

#: Entries of the largest array held at once, when nothing faster is known.
BLOCK_ENTRIES = 4_000_000
#: Entries of an array that stays in a core's own cache (1 MB of doubles).
CACHE_ENTRIES = 1 << 17
#: Occupancies that differ by less are equal.
SAME_OCCUPANCY = 1e-12


def checked_debye_waller(debye_waller: Mapping[str, float] | None) -> dict[str, float] | None:
    """Element → B in Å².

    Raises
    ------
    ValueError
        If a key is no element (``"Na+"`` would damp nothing), or a factor no number.
    """
    for symbol, b in (debye_waller or {}).items():
        if not (isinstance(symbol, str) and Element.is_valid_symbol(symbol)):
            raise ValueError(f'Debye–Waller factors are given by element, as in {{"Na": 1.0}}, not by {symbol!r}')
        if not (isinstance(b, Real) and math.isfinite(b)):
            raise ValueError(f"the Debye–Waller factor of {symbol} must be a number in Å², not {b!r}")
    return dict(debye_waller) if debye_waller else None


def form_factors(symbols: Sequence[str], g: np.ndarray, debye_waller: Mapping[str, float] | None = None) -> np.ndarray:
    """Atomic form factors f_e(s), shape (n_elements, n_reflections); g = |g| in Å⁻¹, B in Å².

    Raises
    ------
    DescriptorError
        If an element has no tabulated scattering factor.
    """
    s2 = (g / 2) ** 2
    values = np.empty((len(symbols), len(g)))
    for row, symbol in enumerate(symbols):
        electrons, a, b = _coefficients(symbol)
        gaussians = np.multiply.outer(-b, s2)
        np.exp(gaussians, out=gaussians)
        values[row] = electrons - 41.78214 * s2 * (a @ gaussians)
        if debye_waller and debye_waller.get(symbol):
            values[row] *= np.exp(-debye_waller[symbol] * s2)
    return values


@cache
def _coefficients(symbol: str) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of electrons, a_k and b_k of an element."""
    if symbol not in ATOMIC_SCATTERING_PARAMS:
        raise DescriptorError(f"no X-ray scattering factor is tabulated for {symbol}")
    a, b = np.array(ATOMIC_SCATTERING_PARAMS[symbol]).T
    return Element(symbol).Z, a, b


def phases(hkl: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """exp(2πi h·r), shape (n_reflections, n_sites), from one table a lattice axis."""
    phase: np.ndarray | None = None
    for axis in range(3):
        index = hkl[:, axis]
        low, high = int(index.min(initial=0)), int(index.max(initial=0))
        table = np.exp(2j * np.pi * np.arange(low, high + 1)[:, None] * positions[None, :, axis])
        phase = table[index - low] if phase is None else phase * table[index - low]
    assert phase is not None
    return phase


def shared_site_squares(
    hkl: np.ndarray,
    factors: np.ndarray,
    positions: np.ndarray,
    occupancy: np.ndarray,
    device: Any = None,
) -> Iterator[tuple[slice, np.ndarray]]:
    """|F|² of crystals whose sites coincide, in blocks of crystals.

    With D = occupancy − occupancy of the first crystal, F = F_first + Σ_e f_e (D_e × phases). Where the D_e of a site
    add up to nothing (one species takes another's place), one element is left out and f of the others taken from it.

    Parameters
    ----------
    hkl : ndarray of int, shape (n_reflections, 3)
    factors : ndarray, shape (n_elements, n_reflections)
    positions : ndarray, shape (n_sites, 3)
    occupancy : ndarray, shape (n_elements, n_structures, n_sites)
    device : torch device, optional

    Yields
    ------
    (slice, ndarray)
        Which structures, and their |F|² of shape (in the slice, n_reflections).
    """
    first = occupancy[:, 0]
    change = occupancy - first[:, None]
    varies = np.abs(change).max(axis=1) > SAME_OCCUPANCY
    if varies.any() and np.abs(change.sum(axis=0)).max() <= SAME_OCCUPANCY:
        left_out = int(varies.sum(axis=1).argmax())
        varies[left_out] = False
        taken_from = factors[left_out]
    else:
        taken_from = np.zeros(len(hkl))
    element, site = np.nonzero(varies)
    weights = to_device(np.concatenate([np.ones((change.shape[1], 1)), change[element, :, site].T], axis=1), device)

    def table(part: slice) -> Any:
        """What the weights multiply, (1 + n_varying, 2 n_reflections): real parts, then imaginary parts."""
        phase = phases(hkl[part], positions).T
        base = np.einsum("er,er->r", factors[:, part], first @ phase)
        moving = (factors[element, part] - taken_from[part]) * phase[site]
        rows = np.concatenate([base[None], moving])
        return to_device(np.concatenate([rows.real, rows.imag], axis=1), device)

    step = max(1, BLOCK_ENTRIES // (2 * (1 + len(site)) + len(positions)))
    parts = [slice(start, min(start + step, len(hkl))) for start in range(0, len(hkl), step)]
    only_table = table(parts[0]) if len(parts) == 1 else None
    in_cache = device is None and only_table is not None
    block = max(1, (CACHE_ENTRIES if in_cache else BLOCK_ENTRIES) // (2 * len(hkl)))
    for start in range(0, len(weights), block):
        stop = min(start + block, len(weights))
        squares = np.empty((stop - start, len(hkl)))
        for part in parts:
            product = weights[start:stop] @ (table(part) if only_table is None else only_table)
            product *= product
            width = part.stop - part.start
            squares[:, part] = from_device(product[:, :width] + product[:, width:])
        yield slice(start, stop), squares


def box_structure_factors(
    bounds: Sequence[int], positions: Any, occupancy: Any, counts: Sequence[int], xp: Any = np
) -> Iterator[Any]:
    """Σ_j o_j exp(2πi h·r_j) on the box h = H … 0, k = K … −K, l = L … −L, for one group of sites after another.

    Parameters
    ----------
    bounds : (int, int, int)
        H, K, L.
    positions : ndarray or tensor, shape (n_structures, n_sites, 3)
    occupancy : ndarray or tensor, shape (n_structures, n_sites)
    counts : sequence of int
        How many sites each group has, in order.
    xp : module
        numpy or torch, to which the arrays belong.

    Yields
    ------
    ndarray or tensor, shape (n_structures, box)
    """
    waves = xp.exp(2j * np.pi * positions)
    along_h, along_k, along_l = (_powers(waves[:, None, :, axis], bounds[axis], xp) for axis in range(3))
    along_h = along_h[:, : bounds[0] + 1] * occupancy[:, None]
    rows = len(positions) * (bounds[0] + 1) * (2 * bounds[1] + 1)
    step = max(1, BLOCK_ENTRIES // rows)
    stop = 0
    for count in counts:
        start, stop = stop, stop + count
        total: Any = None
        for low in range(start, stop, step):
            part = slice(low, min(low + step, stop))
            plane = along_h[:, :, None, part] * along_k[:, None, :, part]
            box = plane.reshape(len(positions), -1, plane.shape[-1]) @ along_l[:, :, part].swapaxes(1, 2)
            total = box if total is None else total + box
        yield total.reshape(len(positions), -1)


def _powers(wave: Any, bound: int, xp: Any) -> Any:
    """wave^n for n = bound … −bound along axis 1."""
    one = xp.ones_like(wave)
    if bound == 0:
        return one
    up = xp.cumprod(xp.broadcast_to(wave, (len(wave), bound, wave.shape[-1])), 1)
    return xp.concatenate([xp.flip(up, (1,)), one, up.conj()], 1)


def thermal_squares(
    hkl: np.ndarray, factors: np.ndarray, positions: np.ndarray, occupancy: np.ndarray, ustar: np.ndarray
) -> np.ndarray:
    """|F|² of one crystal whose sites move anisotropically, shape (n_reflections,).

    Each site's phase is multiplied by exp(−2π² hᵀ U* h) (Trueblood et al., https://doi.org/10.1107/S0108767396005697).

    Parameters
    ----------
    occupancy : ndarray, shape (n_elements, n_sites)
    ustar : ndarray, shape (n_sites, 3, 3)
    """
    squares = np.empty(len(hkl))
    step = max(1, BLOCK_ENTRIES // len(positions))
    for start in range(0, len(hkl), step):
        part = slice(start, start + step)
        wave = phases(hkl[part], positions) * get_anisotropic_debye_waller_factors(hkl[part], ustar)
        total = np.einsum("er,re->r", factors[:, part], wave @ occupancy.T)
        squares[part] = total.real**2 + total.imag**2
    return squares


def to_device(array: np.ndarray, device: Any) -> Any:
    """A tensor on the device; the array itself where none is asked for."""
    return array if device is None else import_torch().from_numpy(np.ascontiguousarray(array)).to(device)


def from_device(values: Any) -> np.ndarray:
    """An array in the computer's own memory."""
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def one_blas_thread() -> AbstractContextManager[Any]:
    """A context in which products of matrices take one thread each: ours are too small to gain from several."""
    return _threadpools().limit(limits=1, user_api="blas")


@cache
def _threadpools() -> ThreadpoolController:
    # looking for libraries takes longer than a pattern; numpy's is there since the import
    return ThreadpoolController()
