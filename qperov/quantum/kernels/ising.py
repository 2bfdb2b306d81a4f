"""The fidelity of Ising states of decorated crystals, one qubit a site, averaged over the symmetry of the cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qperov_circuits import Gate
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel
from sklearn.utils import check_array

from qperov.errors import CircuitSizeError
from qperov.quantum.kernels.feature_map_kernel import MEMORY, check_positive, plain
from qperov.quantum.kernels.ising_overlaps import (
    check_sites,
    contracted_amplitudes,
    flip_codes,
    walsh_hadamard,
    x_outcomes,
)
from qperov.quantum.simulation.statevector import MAX_QUBITS

#: Rows of a matrix whose overlaps are looked up at once, in the processor's cache.
ROWS = 64


class IsingKernel(Kernel):
    r"""Fidelity of Ising states of spins on a lattice, averaged over the lattice's symmetry.

    The spins σ ∈ {±1}ⁿ of a decoration, one qubit each, prepare

        |φ(σ)⟩ = exp(i Σ_s θ_s Σ_{⟨ij⟩∈s} σ_i σ_j Z_i Z_j + i h Σ_i σ_i Z_i) |+…+⟩

    over the bonds ⟨ij⟩ of every shell s; each further layer is exp(−i(β/2) Σ_i X_i) and the same phases again. With the
    permutations g of the sites under the symmetry G of the undecorated cell

        k(σ, σ′) = 1/|G| Σ_g |⟨φ(σ)|φ(gσ′)⟩|²,    K(σ, σ′) = k(σ, σ′) / √(k(σ, σ) k(σ′, σ′)).

    *Invariance.* k(σ, hσ′) sums over gh, which runs through G as g does. The bonds of a shell are mapped onto bonds of
    it, so that φ(gσ) is φ(σ) with its qubits permuted by g: k(gσ, gσ′) = k(σ, σ′), and k is symmetric.

    *Positive semi-definite.* Flips X^σ leave |+⟩ and the layers of X as they are, so |φ(σ)⟩ = X^σ|φ(1)⟩, and the
    overlap is A(τ) = Σ_k p(k) Π_{i∈k} τ_i with τ = σσ′ and the probability p(k) of outcome k when |φ(1)⟩ is measured
    in the X basis. Its square is Σ_S w(S) Π_{i∈S} τ_i with w(S) = Σ_k p(k) p(k △ S) ≥ 0, and the mean over G is

        k(σ, σ′) = Σ_α W_α Φ_α(σ) Φ_α(σ′),    W_α = Σ_{S∈α} w(S) ≥ 0,

    with the correlation functions Φ_α of all clusters: a Gram matrix. The kernel is a cluster expansion to all orders
    (all even ones where h = 0) whose prior variances W_α a circuit chooses. As θ goes to zero, what is left of it is
    the linear kernel of pair correlations.

    Parameters
    ----------
    bonds : array of int, shape (n_bonds, 3)
        Number of the shell, from 0 on, and the two sites. A bond that the periodic cell has twice stands twice.
    permutations : array of int, shape (m, n_sites)
        The group G; one row 0, 1, … for none.
    lengths : array of shape (n_shells,) or None
        Length of the bonds of each shell in Å, for ``decay``.
    couplings : float or sequence of float
        θ > 0 in radians: one number, or one a shell.
    decay : float or None
        ξ > 0 in Å, where ``couplings`` is one number θ₀: θ_s = θ₀ exp(−(r_s − r_0)/ξ) with the least length r_0.
    field : float
        h ≥ 0 in radians.
    mixing : sequence of float
        β of every further layer, radians.
    outcomes : array of int, shape (n_shots, n_sites), or None
        Bits measured in the X basis on ``circuit()``, whose frequencies then stand for p: the kernel of all decorations
        from the runs of one circuit, positive semi-definite with any noise. None for exact values.
    couplings_bounds, decay_bounds, field_bounds : pair of floats or "fixed"
        Where an optimiser may look. The gradient is exact.

    Raises
    ------
    ValueError
        On use: bonds or permutations that do not fit each other, samples that are not of ±1, a parameter out of range.
    CircuitSizeError
        On use: more than 26 sites, with a gradient, with mixing, or where no path contracts their network.
    MissingDependencyError
        On use: more than 26 sites without cotengra.

    Examples
    --------
    A ring of four sites under its rotations, whose nearest neighbours are bonds of one shell:

    >>> ring = np.arange(4)
    >>> bonds = np.column_stack([np.zeros(4, int), ring, (ring + 1) % 4])
    >>> turns = (ring[:, None] + ring) % 4
    >>> kernel = IsingKernel(bonds, turns, couplings=0.3)
    >>> pair, far, turned = [1, 1, -1, -1], [1, -1, 1, -1], [-1, 1, 1, -1]
    >>> kernel([pair], [pair, far, turned]).round(3)
    array([[1.   , 0.571, 1.   ]])
    """

    family = "quantum"

    def __init__(
        self,
        bonds: ArrayLike,
        permutations: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        couplings: float | Sequence[float] = 0.05,
        decay: float | None = None,
        field: float = 0.0,
        mixing: Sequence[float] = (),
        outcomes: ArrayLike | None = None,
        couplings_bounds: tuple[float, float] | str = (1e-4, 1.0),
        decay_bounds: tuple[float, float] | str = (0.1, 100.0),
        field_bounds: tuple[float, float] | str = "fixed",
    ) -> None:
        self.bonds = bonds
        self.permutations = permutations
        self.lengths = lengths
        self.couplings = couplings
        self.decay = decay
        self.field = field
        self.mixing = mixing
        self.outcomes = outcomes
        self.couplings_bounds = couplings_bounds
        self.decay_bounds = decay_bounds
        self.field_bounds = field_bounds

    @property
    def hyperparameter_couplings(self) -> Hyperparameter:
        """θ, searched on logarithmic axes."""
        return Hyperparameter("couplings", "numeric", self.couplings_bounds, np.size(self.couplings))

    @property
    def hyperparameter_decay(self) -> Hyperparameter:
        """ξ, searched on a logarithmic axis if there is one."""
        return Hyperparameter("decay", "numeric", "fixed" if self.decay is None else self.decay_bounds)

    @property
    def hyperparameter_field(self) -> Hyperparameter:
        """h, searched on a logarithmic axis."""
        return Hyperparameter("field", "numeric", self.field_bounds)

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None, eval_gradient: bool = False) -> Any:
        """Kernel matrix between decorations.

        Parameters
        ----------
        X, Y : array of ±1, shape (n_samples, n_sites), (m_samples, n_sites)
            None for Y: X itself.
        eval_gradient : bool
            Also return the derivatives with respect to the logarithms of ``couplings``, ``decay`` and ``field``, as far
            as they are not fixed; only for Y = None.

        Returns
        -------
        K : ndarray of shape (n_samples, m_samples)
        gradient : ndarray of shape (n_samples, n_samples, n_hyperparameters)
            Only with ``eval_gradient``.
        """
        if eval_gradient:
            if Y is not None:
                raise ValueError("the gradient is available for K(X, X) only: leave Y out")
            return self._with_gradient(self._spins(X))
        spins, others = self._spins(X), None if Y is None else self._spins(Y, "Y")
        settings = (np.asarray(self.bonds), np.asarray(self.permutations), *map(np.asarray, self._angles()))
        key = (type(self), *(array.tobytes() for array in settings)) if self.outcomes is None else None
        return MEMORY.matrix(key, spins, others, self._evaluate)

    def diag(self, X: ArrayLike) -> np.ndarray:
        """Ones, shape (n_samples,)."""
        return np.ones(len(self._spins(X)))

    def is_stationary(self) -> bool:
        """False: the mean over the symmetry depends on more than σσ′."""
        return False

    def circuit(self, spins: ArrayLike | None = None) -> list[Gate]:
        """Gates that prepare |φ(σ)⟩, bonds in layers without a common qubit; without spins |φ(1)⟩.

        Bonds of one pair of sites are one gate. Followed by a Hadamard on every qubit, the measured bits of |φ(1)⟩ are
        ``outcomes``.
        """
        n_sites = self._permutations().shape[1]
        signs = np.ones(n_sites) if spins is None else self._spins(np.atleast_2d(spins))[0]
        matrix, _, mixing = self._angles()
        phases = [
            Gate("rzz", pair, -2 * float(matrix[pair] * signs[pair[0]] * signs[pair[1]]))
            for pair in coloured([(i, j) for i, j in np.argwhere(matrix).tolist()])
        ]
        if self.field:
            phases += [Gate("rz", (site,), -2 * self.field * float(signs[site])) for site in range(n_sites)]
        gates = [Gate("h", (site,)) for site in range(n_sites)] + phases
        for beta in mixing:
            gates += [*(Gate("rx", (site,), float(beta)) for site in range(n_sites)), *phases]
        return gates

    def __repr__(self) -> str:
        shown = {"couplings": self.couplings, "decay": self.decay, "field": self.field, "mixing": self.mixing}
        defaults = {"decay": None, "field": 0.0, "mixing": ()}
        digits = {
            name: [float(f"{each:.3g}") for each in np.atleast_1d(np.asarray(value, dtype=float))]
            if np.ndim(np.asarray(value))
            else value
            for name, value in shown.items()
            if name == "couplings" or not np.array_equal(value, defaults[name])  # type: ignore[arg-type]
        }
        parts = ", ".join(f"{name}={plain(value)!r}" for name, value in digits.items())
        return f"IsingKernel({np.shape(self.permutations)[1]} sites, {parts})"

    # --- parameters -----------------------------------------------------------------------------

    def _permutations(self) -> np.ndarray:
        permutations = np.asarray(self.permutations)
        if permutations.ndim != 2 or not (np.sort(permutations, axis=1) == np.arange(permutations.shape[1])).all():
            raise ValueError(
                f"permutations must be rows of 0 … n_sites − 1, got an array of shape {permutations.shape}"
            )
        return permutations

    def _shell_angles(self) -> np.ndarray:
        """θ of each shell."""
        n_shells = int(np.asarray(self.bonds)[:, 0].max(initial=-1)) + 1
        angles = np.asarray(self.couplings, dtype=float)
        for value in np.atleast_1d(angles):
            check_positive("couplings", float(value))
        if angles.ndim and len(angles) != n_shells:
            raise ValueError(f"couplings must be one number, or one for each of {n_shells} shells, got {len(angles)}")
        if self.decay is None:
            return np.broadcast_to(angles, n_shells)
        check_positive("decay", self.decay)
        if angles.ndim or self.lengths is None or np.size(self.lengths) != n_shells:
            raise ValueError(f"with a decay, couplings is one number, and lengths has the lengths of {n_shells} shells")
        lengths = np.asarray(self.lengths, dtype=float)
        return angles * np.exp(-(lengths - lengths.min()) / self.decay)

    def _matrix(self, angles: np.ndarray) -> np.ndarray:
        """J above the diagonal, from a number for each shell."""
        bonds, n_sites = np.asarray(self.bonds), self._permutations().shape[1]
        if bonds.ndim != 2 or bonds.shape[1] != 3 or bonds.min(initial=0) < 0 or bonds[:, 1:].max(initial=0) >= n_sites:
            raise ValueError(
                f"bonds must be rows of a shell and two of {n_sites} sites, got an array of shape {bonds.shape}"
            )
        matrix = np.zeros((n_sites, n_sites))
        low, high = bonds[:, 1:].min(axis=1), bonds[:, 1:].max(axis=1)
        np.add.at(matrix, (low, high), angles[bonds[:, 0]])
        np.fill_diagonal(matrix, 0.0)  # a site and its own image are always alike
        return matrix

    def _angles(self) -> tuple[np.ndarray, float, tuple[float, ...]]:
        """J, h and the angles of mixing, checked."""
        if not (np.isfinite(self.field) and self.field >= 0):
            raise ValueError(f"field must be zero or positive, got {self.field!r}")
        matrix, permutations = self._matrix(self._shell_angles()), self._permutations()
        whole = matrix + matrix.T
        if any(not np.allclose(whole[np.ix_(row, row)], whole, rtol=1e-9, atol=1e-12) for row in permutations):
            raise ValueError("a permutation does not map the bonds of each shell onto themselves, as symmetry does")
        return matrix, float(self.field), tuple(map(float, self.mixing))

    def _spins(self, X: ArrayLike, name: str = "X") -> np.ndarray:
        spins: np.ndarray = check_array(X, dtype=np.float64, input_name=name)
        n_sites = np.shape(self.permutations)[1]
        if spins.shape[1] != n_sites or not (np.abs(spins) == 1).all():
            raise ValueError(
                f"{name} must be +1 or −1 on each of {n_sites} sites, as qperov.descriptors.Decorations gives them; "
                f"got {spins.shape[1]} columns of {spins.min():.3g} to {spins.max():.3g}"
            )
        return spins

    # --- values ---------------------------------------------------------------------------------

    def _fidelities(self, matrices: Sequence[np.ndarray] = (), fields: Sequence[float] = ()) -> np.ndarray:
        """F(τ) by the code of τ, and its derivatives along changes of J and h, shape (2**n_qubits, 1 + n_changes)."""
        matrix, field, mixing = self._angles()
        if self.outcomes is None:
            p, rates = x_outcomes([matrix, *matrices], [field, *fields], mixing)
        else:
            p, rates = self._frequencies(len(matrix)), []
        amplitudes = walsh_hadamard(p)
        return np.stack([amplitudes**2, *(2 * amplitudes * walsh_hadamard(rate) for rate in rates)], axis=-1)

    def _frequencies(self, n_sites: int) -> np.ndarray:
        """Those of all images of the outcomes: noise has no symmetry."""
        bits = np.asarray(self.outcomes)
        if bits.ndim != 2 or bits.shape[1] != n_sites or not np.isin(bits, (0, 1)).all():
            raise ValueError(f"outcomes must be bits on each of {n_sites} sites, got an array of shape {bits.shape}")
        check_sites(n_sites, flip=False)
        counts = np.bincount(self._images(1 - 2 * bits).ravel(), minlength=2**n_sites)
        return counts / counts.sum()

    def _images(self, spins: np.ndarray) -> np.ndarray:
        """Codes of all images of decorations, shape (m, n_samples)."""
        return np.array([self._codes(spins[:, row]) for row in self._permutations()])

    def _codes(self, spins: np.ndarray) -> np.ndarray:
        return flip_codes(spins, flip=self.field == 0 and self.outcomes is None)

    def _evaluate(self, spins: np.ndarray, others: np.ndarray | None) -> np.ndarray:
        if spins.shape[1] > MAX_QUBITS and self.outcomes is None:
            return self._contracted(spins, others)
        fidelities = self._fidelities()[:, 0]
        codes, images = self._codes(spins), self._images(spins if others is None else others)
        own = self._images(spins) if others is not None else images
        K = _means(fidelities[:, None], codes, images)[..., 0]
        norms = np.sqrt(fidelities[codes ^ own].mean(axis=0))
        other_norms = norms
        if others is not None:
            other_norms = np.sqrt(fidelities[images ^ self._codes(others)].mean(axis=0))
        K /= norms[:, None] * other_norms
        if others is None:
            K = (K + K.T) / 2
            np.fill_diagonal(K, 1.0)
        return K

    def _contracted(self, spins: np.ndarray, others: np.ndarray | None) -> np.ndarray:
        """K from networks, one for every product σ·gσ′ that occurs, −τ for τ where there is no field."""
        matrix, field, mixing = self._angles()
        if mixing:
            raise CircuitSizeError(
                f"{len(matrix)} sites: states of more than {MAX_QUBITS} qubits are of one layer, without mixing"
            )
        permutations, kets = self._permutations(), spins if others is None else others
        sides = [(spins[:, None], kets[None])] + [(side, side) for side in (spins, *([] if others is None else [kets]))]
        products = [one[..., None, :] * other[..., permutations] for one, other in sides]
        rows = np.concatenate([part.reshape(-1, len(matrix)) for part in products])
        rows = rows if field else rows * rows[:, :1]
        distinct, place = np.unique(rows, axis=0, return_inverse=True)
        fidelities = (contracted_amplitudes(matrix, field, distinct) ** 2)[place.ravel()]
        ends = np.cumsum([part[..., 0].size for part in products])[:-1]
        means = [
            part.reshape(values.shape[:-1]).mean(axis=-1)
            for part, values in zip(np.split(fidelities, ends), products, strict=True)
        ]
        K = means[0] / np.sqrt(means[1][:, None] * means[-1])
        if others is None:
            K = (K + K.T) / 2
            np.fill_diagonal(K, 1.0)
        return K

    def _with_gradient(self, spins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        matrices, fields = self._rates()
        if matrices and self.outcomes is not None:
            raise ValueError("the gradient is available for exact values only: outcomes=None")
        table = self._fidelities(matrices, fields)
        codes, images = self._codes(spins), self._images(spins)
        values = _means(table, codes, images)
        values = (values + values.transpose(1, 0, 2)) / 2
        own = values[np.arange(len(codes)), np.arange(len(codes))]
        norms = np.sqrt(own[:, 0])
        K = values[..., 0] / np.outer(norms, norms)
        np.fill_diagonal(K, 1.0)
        slopes = own[:, 1:] / (2 * own[:, :1])
        gradient = values[..., 1:] / np.outer(norms, norms)[..., None] - K[..., None] * (slopes[:, None] + slopes)
        gradient[np.arange(len(K)), np.arange(len(K))] = 0.0
        return K, gradient

    def _rates(self) -> tuple[list[np.ndarray], list[float]]:
        """dJ and dh by the logarithm of each hyperparameter that is not fixed, in the order of ``theta``."""
        angles = self._shell_angles()
        by_name: dict[str, list[tuple[np.ndarray, float]]] = {}
        each = np.diag(angles) if np.ndim(self.couplings) else angles[None]
        by_name["couplings"] = [(self._matrix(row), 0.0) for row in each]
        if self.decay is not None:
            lengths = np.asarray(self.lengths, dtype=float)
            by_name["decay"] = [(self._matrix(angles * (lengths - lengths.min()) / self.decay), 0.0)]
        by_name["field"] = [(np.zeros_like(self._matrix(angles)), self.field)]
        free = [pair for one in self.hyperparameters if not one.fixed for pair in by_name[one.name]]
        return [matrix for matrix, _ in free], [field for _, field in free]


def coloured(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs in layers without a common site, one layer after the other, each pair in the first that has room."""
    layers: list[list[tuple[int, int]]] = []
    busy: list[set[int]] = []
    for pair in pairs:
        place = next((k for k, sites in enumerate(busy) if sites.isdisjoint(pair)), len(busy))
        if place == len(busy):
            busy.append(set())
            layers.append([])
        busy[place].update(pair)
        layers[place].append(pair)
    return [pair for layer in layers for pair in layer]


def _means(table: np.ndarray, codes: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Mean over the images of what the table has for their differences, shape (n_samples, m_samples, n_columns)."""
    sums = np.zeros((len(codes), images.shape[1], table.shape[1]))
    flat = table[:, 0] if table.shape[1] == 1 else table
    for top in range(0, len(codes), ROWS):
        rows, here = codes[top : top + ROWS, None], sums[top : top + ROWS]
        view = here[..., 0] if flat.ndim == 1 else here
        for image in images:
            view += flat[rows ^ image]
    return sums / len(images)
