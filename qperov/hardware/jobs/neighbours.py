"""Misreading that neighbours share: a qubit read wrongly more often beside one that is 1, or together with it.

Readout is a Markov process exp(G) on the outcomes, and G a sum over wires that follow each other,
G = Σ G(q, q+1) − Σ G(q) over the wires inside, each from outcomes of wires prepared in 0 and 1 in all the ways that
three neighbours can be, so that what a wire does beside one of them is not taken for what it does beside the other.
Nothing grows faster than the number of qubits, but the noise of a corrected all-zero outcome.

References
----------
S. Bravyi et al., Phys. Rev. A 103, 042605 (2021), doi:10.1103/PhysRevA.103.042605, the continuous-time Markov model.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.linalg import expm, logm

from qperov.hardware.jobs.counts import Counts, Misreading

#: States of every third wire in each row of the calibration.
PREPARED = np.array(list(product((0, 1), repeat=3)))

#: Signs of Z on the middle one of three wires.
MIDDLE = np.kron(np.ones(2), np.kron([1.0, -1.0], np.ones(2)))


@dataclass(frozen=True)
class NeighbourMisreading:
    """Generators of misreading, wire 0 first; outcomes of two wires in the order 00, 01, 10, 11.

    Attributes
    ----------
    single : ndarray of shape (n_qubits, 2, 2)
        G(q): column s holds the rates from outcome s.
    joint : ndarray of shape (n_qubits − 1, 4, 4)
        G(q, q+1), both wires' own included.
    """

    single: np.ndarray
    joint: np.ndarray

    @staticmethod
    def from_calibration(counts: Counts) -> NeighbourMisreading:
        """From eight rows of outcomes: wires 0, 3, …, wires 1, 4, … and wires 2, 5, … prepared in 000, 001, …, 111.

        Raises
        ------
        ValueError
            A wire, or two together, that tell nothing.
        """
        bits, n = counts.bits, counts.n_qubits
        ones = counts.mean(bits.astype(float))
        single, joint = np.empty((n, 2, 2)), np.empty((max(0, n - 1), 4, 4))
        for wire in range(n):
            rates = np.array([ones[PREPARED[:, wire % 3] == value, wire].mean() for value in (0, 1)])
            single[wire] = _generator(np.array([1 - rates, rates]), f"wire {wire}")
        for wire in range(n - 1):
            outcome = 2 * bits[:, wire] + bits[:, wire + 1]
            shares = counts.mean((outcome[:, None] == np.arange(4)).astype(float))
            state = 2 * PREPARED[:, wire % 3] + PREPARED[:, (wire + 1) % 3]
            columns = [shares[state == value].mean(axis=0) for value in range(4)]
            joint[wire] = _generator(np.array(columns).T, f"wires {wire} and {wire + 1}")
        return NeighbourMisreading(single, joint)

    @property
    def one_for_zero(self) -> np.ndarray:
        """P(read 1 | 0) of each wire, the mean over its neighbours' states."""
        return np.array([expm(rates)[1, 0] for rates in self.single])

    @property
    def zero_for_one(self) -> np.ndarray:
        """P(read 0 | 1) of each wire, the mean over its neighbours' states."""
        return np.array([expm(rates)[0, 1] for rates in self.single])

    def at(self, wires: slice) -> NeighbourMisreading:
        """Of some wires that follow each other."""
        places = np.arange(len(self.single))[wires]
        return NeighbourMisreading(self.single[places], self.joint[places[:-1]])

    def zero_weights(self, bits: np.ndarray) -> np.ndarray:
        """What each outcome adds to the chance that all wires are 0, shape (n_outcomes,): a row of exp(−G).

        The exponential is that of the even and the odd pairs in turn, exp(−E/2) exp(−O) exp(−E/2).
        """
        if len(self.single) == 1:
            return expm(-self.single[0])[0][bits[:, 0].astype(int)]
        own = self._own_pairs()
        value = bits.astype(int)
        # outcomes behind and before the odd pairs, of the wire that the contraction stands at
        state = np.broadcast_to(np.eye(2), (len(bits), 2, 2))
        n = len(self.single)
        for wire in range(0, n - 1, 2):
            outer = expm(-own[wire] / 2)
            last = outer.T[2 * value[:, wire] + value[:, wire + 1]].reshape(-1, 2, 2)
            state = np.einsum("mul,uv,mlk->mvk", state, outer[0].reshape(2, 2), last)
            if wire + 2 < n:
                inner = expm(-own[wire + 1]).reshape(2, 2, 2, 2)
                state = np.einsum("mvk,vwkx->mwx", state, inner)
        if n % 2:
            return state[np.arange(len(bits)), 0, value[:, -1]]
        return np.einsum("muu->m", state)

    def z_weights(self, bits: np.ndarray) -> np.ndarray:
        """What each outcome adds to ⟨Z⟩ of each wire, shape (n_outcomes, n_wires), by the wires beside it."""
        n = len(self.single)
        found = np.empty(bits.shape)
        for wire in range(n):
            row = (MIDDLE @ expm(-self._beside(wire))).reshape(2, 2, 2)
            left = bits[:, wire - 1].astype(int) if wire else 0
            right = bits[:, wire + 1].astype(int) if wire + 1 < n else 0
            found[:, wire] = row[left, bits[:, wire].astype(int), right]
        return found

    def _own_pairs(self) -> np.ndarray:
        """G(q, q+1) less half of the wires' own, where these stand in two pairs."""
        found = self.joint.copy()
        for wire in range(len(found)):
            if wire > 0:
                found[wire] -= np.kron(self.single[wire], np.eye(2)) / 2
            if wire + 2 < len(self.single):
                found[wire] -= np.kron(np.eye(2), self.single[wire + 1]) / 2
        return found

    def _beside(self, wire: int) -> np.ndarray:
        """Generator of a wire and those beside it; one that is not there does nothing."""
        left = wire > 0
        right = wire + 1 < len(self.single)
        found = np.zeros((8, 8))
        if left:
            found += np.kron(self.joint[wire - 1], np.eye(2))
        if right:
            found += np.kron(np.eye(2), self.joint[wire])
        sign = 1 - left - right
        return found + sign * np.kron(np.eye(2), np.kron(self.single[wire], np.eye(2)))


def readout_misreading(counts: Counts) -> Misreading | NeighbourMisreading:
    """Misreading by the rows of its calibration: two of single wires, eight of neighbours."""
    return (Misreading if len(counts.starts) == 3 else NeighbourMisreading).from_calibration(counts)


def _generator(columns: np.ndarray, what: str) -> np.ndarray:
    """Logarithm of a stochastic matrix."""
    if np.linalg.eigvals(columns).real.min() < 1e-6:
        raise ValueError(f"the readout of {what} tells nothing: zeros and ones cannot be told apart")
    return np.real(logm(columns))
