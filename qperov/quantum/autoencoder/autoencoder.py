"""A quantum autoencoder of real vectors, as a scikit-learn transformer."""

from __future__ import annotations

from operator import index
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from qperov_circuits import Gate
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from qperov.errors import RecordError, keyword_only
from qperov.quantum.autoencoder import compression
from qperov.quantum.autoencoder.autoencoder_file import read_angles, write_angles
from qperov.quantum.autoencoder.encoder_ansatz import EncoderAnsatz, encoder_ansatz
from qperov.quantum.autoencoder.pennylane_objective import pennylane_objective
from qperov.quantum.autoencoder.training import Objective, TrainingSettings, train
from qperov.quantum.autoencoder.trash_loss import TrashLoss
from qperov.quantum.simulation.rotations import Ansatz, RotationCircuit

#: Training as the paper did it. It does not say where it started: from angles near zero the published fidelity of 0.99
#: is reached, from a full turn (``initial_spread=π``) only about every other time.
PUBLISHED_TRAINING = TrainingSettings("adam", epochs=5, learning_rate=0.1, batch_size=1, patience=None)

#: Parameters that a file of angles keeps.
SAVED_PARAMETERS = ("n_qubits", "code_qubits", "ansatz", "layers", "shared", "n_angles", "observables", "zero_vectors")


class QuantumAutoencoder(TransformerMixin, BaseEstimator):
    """Compress vectors, written into the amplitudes of n qubits, to k qubits.

    A row x becomes the state z = x/‖x‖, padded with zeros to 2ⁿ amplitudes. The encoder U(θ) is trained to bring the
    first n − k qubits, the trash, to |0…0⟩: loss 1 − Tr(|0…0⟩⟨0…0| ρ_trash). The code is what the other k qubits
    hold; the decoder is U† on |0…0⟩⟨0…0| ⊗ ρ_code, and the fidelity is √⟨z|ρ_out|z⟩.

    Parameters
    ----------
    n_qubits : int or None
        n; None for as many as the features need.
    mode : "fixed" or "published"
        ``"published"`` trains the published encoder (five qubits to four) as the paper did: Adam at 0.1, one vector a
        step, five passes. ``ansatz``, ``layers``, ``shared``, ``n_angles`` and all from ``optimizer`` to ``tolerance``
        are then without effect.
    code_qubits : int
        k, 1 ≤ k < n.
    ansatz : "entangling", "published" or callable
        `qperov_circuits.qcnn.entangling`; `qperov_circuits.qcnn.published` (five qubits to four only); or a function
        from a list of ``n_angles`` angles to gates, whose angles must be weighted sums of the list's entries.
    layers, shared : int, bool
        Of the entangling ansatz.
    n_angles : int or None
        Number of angles of a callable ansatz; without effect otherwise.
    optimizer : "lbfgs" or "adam"
        L-BFGS sees all samples in every step. The loss depends on them only through the mean of zzᵀ, so that a step
        costs the same for any number of samples.
    epochs : int
        Passes over the samples at most.
    learning_rate : float
        Of Adam.
    batch_size : int or None
        Samples in a step of Adam; None for all.
    patience : int or None
        Stop after so many epochs in which the loss gained no more than ``tolerance``; None never to stop early.
    tolerance : float
    initial_spread : float
        Angles start uniformly between ∓ this, in radians. Near zero the entangling encoder starts as a mere
        permutation, and does not fall on a barren plateau.
    simulator : str
        Where the loss and its gradient are computed while training. ``"exact"``: our own engine, numpy alone. Any other
        name is that of a PennyLane device (``"default.qubit"``, ``"lightning.qubit"``), on which the same loss is a
        QNode differentiated by torch: the same numbers up to rounding, slower. All else is always computed exactly.
    observables : "z" or "pauli"
        What `transform` gives: ⟨Z⟩ of the code's qubits, or ⟨P⟩ of all Pauli words on one and two of them.
    zero_vectors : "raise" or "nan"
        A zero vector has no direction and is no state. Refuse it, or leave it out of the training and give NaN for it.
    random_state : int, RandomState or None
        Draws the first angles and deals the batches.
    progress : bool
        Show a progress bar on standard error.

    Attributes
    ----------
    angles_ : ndarray of shape (n_angles,)
        Best angles seen, radians. May be assigned: all methods use what stands here.
    n_qubits_ : int
    loss_history_ : list of float
        Loss of all training samples before training and after each epoch.
    step_losses_ : list of float
        Loss of its batch in each step of Adam; empty for L-BFGS.
    circuit_ : RotationCircuit

    References
    ----------
    J. Romero, J. P. Olson, A. Aspuru-Guzik, Quantum autoencoders for efficient compression of quantum data, Quantum
    Science and Technology 2, 045001 (2017), doi:10.1088/2058-9565/aa8072.

    Examples
    --------
    >>> import numpy as np
    >>> from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder
    >>> X = np.outer(np.linspace(1, 2, 20), [1, 0, 2, 0]) + np.outer(np.linspace(2, 0, 20), [0, 1, 0, 1])
    >>> model = QuantumAutoencoder(n_qubits=2, code_qubits=1).fit(X)
    >>> model.transform(X).shape, bool(model.score(X) > 0.9999)
    ((20, 1), True)
    """

    family = "quantum"

    @keyword_only(tol="tolerance", device="simulator")
    def __init__(
        self,
        n_qubits: int | None = 5,
        *,
        code_qubits: int = 4,
        ansatz: EncoderAnsatz = "entangling",
        mode: str = "fixed",
        layers: int = 3,
        shared: bool = False,
        n_angles: int | None = None,
        optimizer: str = "lbfgs",
        epochs: int = 500,
        learning_rate: float = 0.05,
        batch_size: int | None = None,
        patience: int | None = 50,
        tolerance: float = 1e-8,
        initial_spread: float = 0.3,
        simulator: str = "exact",
        observables: str = "z",
        zero_vectors: str = "raise",
        random_state: int | np.random.RandomState | None = 0,
        progress: bool = False,
    ) -> None:
        self.n_qubits = n_qubits
        self.code_qubits = code_qubits
        self.ansatz = ansatz
        self.mode = mode
        self.layers = layers
        self.shared = shared
        self.n_angles = n_angles
        self.optimizer = optimizer
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.patience = patience
        self.tolerance = tolerance
        self.initial_spread = initial_spread
        self.simulator = simulator
        self.observables = observables
        self.zero_vectors = zero_vectors
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: ArrayLike, y: Any = None) -> QuantumAutoencoder:
        """Train the encoder; ``y`` is not looked at.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            Real vectors, n_features ≤ 2**n_qubits, none of them zero.

        Raises
        ------
        ValueError
            NaN or infinity, a zero vector, more features than amplitudes, a parameter out of range.
        CircuitSizeError
            Too many qubits for memory.
        MissingDependencyError
            A PennyLane device without PennyLane or torch.
        """
        samples = validate_data(self, X, dtype=np.float64)
        settings = PUBLISHED_TRAINING
        if self.mode != "published":
            settings = TrainingSettings(
                self.optimizer, self.epochs, self.learning_rate, self.batch_size, self.patience, self.tolerance
            )
        if not 0 <= self.initial_spread < np.inf:
            raise ValueError(f"initial_spread must not be negative, got {self.initial_spread}")
        self._prepare(samples.shape[1])
        states = compression.amplitudes(samples, self.n_qubits_, self.zero_vectors)
        states = states[np.isfinite(states[:, 0])]
        if not len(states):
            raise ValueError("all vectors are zero: there is nothing to learn from")
        random = check_random_state(self.random_state)
        start = self.initial_spread * random.uniform(-1, 1, self.circuit_.n_angles)
        result = train(self._objective(), start, states, settings, random, self.progress)
        self.angles_ = result.angles
        self.loss_history_ = result.history
        self.step_losses_ = result.step_losses
        return self

    def set_angles(self, angles: ArrayLike, n_features: int | None = None) -> QuantumAutoencoder:
        """Take angles from elsewhere instead of training, for instance published ones.

        Parameters
        ----------
        angles : array of shape (n_angles,)
            Radians.
        n_features : int or None
            Features of the vectors to come; None for 2**n_qubits.

        Raises
        ------
        ValueError
            A wrong number of angles, or angles that are not finite.
        """
        if n_features is None:
            if self.n_qubits is None:
                raise ValueError("with n_qubits=None the number of features must be given")
            n_features = 2**self.n_qubits
        if n_features < 1:
            raise ValueError(f"vectors have at least one feature, got n_features={n_features}")
        values = np.array(angles, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("an angle is not finite")
        self._prepare(n_features, values.shape)
        self.n_features_in_ = n_features
        self.angles_ = values
        self.loss_history_, self.step_losses_ = [], []
        return self

    # --- what it does with vectors ---------------------------------------------------------------

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Expectation values of the code's observables, shape (n_samples, n_observables)."""
        return compression.code_expectations(self.encode(X), self.code_qubits, self.observables)

    def encode(self, X: ArrayLike) -> np.ndarray:
        """States Uz behind the encoder, trash first, shape (n_samples, 2**n_qubits)."""
        check_is_fitted(self, ("angles_", "circuit_"))
        samples = validate_data(self, X, dtype=np.float64, reset=False)
        return compression.amplitudes(samples, self.n_qubits_, self.zero_vectors) @ self.unitary().T

    def fidelity(self, X: ArrayLike) -> np.ndarray:
        """√⟨z|ρ_out|z⟩ of each sample, shape (n_samples,)."""
        return compression.fidelities(self.encode(X), self.code_qubits)

    def loss(self, X: ArrayLike) -> float:
        """Mean probability of finding the trash elsewhere than in |0…0⟩."""
        return float(1 - compression.kept_weights(self.encode(X), self.code_qubits).mean())

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Mean fidelity."""
        return float(self.fidelity(X).mean())

    def decoded_states(self, X: ArrayLike) -> np.ndarray:
        """ρ_out of each sample, shape (n_samples, 2**n_qubits, 2**n_qubits)."""
        encoded = self.encode(X)
        return compression.decoded_states(encoded, self.unitary(), self.code_qubits)

    def reconstruct(self, X: ArrayLike) -> np.ndarray:
        """Vectors after compression, shape (n_samples, n_features): real part of ‖x‖·U†ΠUz.

        Π keeps the runs whose trash was found in |0…0⟩; what others lose makes the vector shorter.
        """
        kept = self.encode(X)[:, : 2**self.code_qubits]
        decoded = kept @ self.unitary()[: 2**self.code_qubits].conj()
        rows = np.asarray(X, dtype=np.float64)
        largest = np.abs(rows).max(axis=1, keepdims=True)
        directions = rows / np.where(largest > 0, largest, 1.0)  # first, lest squares overflow or vanish
        lengths = np.linalg.norm(directions, axis=1, keepdims=True)
        return decoded.real[:, : self.n_features_in_] * lengths * largest

    def unitary(self) -> np.ndarray:
        """U(θ), shape (2**n_qubits, 2**n_qubits)."""
        check_is_fitted(self, ("angles_", "circuit_"))
        return self.circuit_.matrix(self.angles_)

    def gates(self) -> list[Gate]:
        """The trained encoder as a circuit, for any adapter."""
        check_is_fitted(self, ("angles_", "circuit_"))
        return list(self._ansatz(self.n_qubits_)[0]([float(angle) for angle in self.angles_]))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the observables, qubits counted inside the code."""
        check_is_fitted(self, ("angles_", "circuit_"))
        words = compression.code_words(self.code_qubits, self.observables)
        return np.array([name for name, _ in words], dtype=object)

    # --- files -----------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the angles and what they belong to as JSON, in one step.

        Raises
        ------
        ValueError
            The ansatz is a function: code is not written to files. Keep its ``angles_``.
        """
        check_is_fitted(self, ("angles_", "circuit_"))
        published = self.mode == "published"
        if not (published or isinstance(self.ansatz, str)):
            raise ValueError("an encoder whose ansatz is a function cannot be saved: keep its angles_")
        return write_angles(
            path,
            {
                "parameters": {name: getattr(self, name) for name in SAVED_PARAMETERS}
                | ({"ansatz": "published"} if published else {}),
                "n_features": int(self.n_features_in_),
                "angles": [float(angle) for angle in self.angles_],
                "loss_history": [float(loss) for loss in self.loss_history_],
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> QuantumAutoencoder:
        """An encoder as `save` wrote it, ready to use.

        Raises
        ------
        RecordError
            The file is not such a file, or of another version.
        """
        content = read_angles(path)
        try:
            parameters = {name: content["parameters"][name] for name in SAVED_PARAMETERS}
            model = cls(**parameters).set_angles(content["angles"], index(content["n_features"]))
            model.loss_history_ = [float(loss) for loss in content["loss_history"]]
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{path}: the angles of this file fit no quantum autoencoder ({error})") from error
        return model

    def __setstate__(self, state: dict[str, Any]) -> None:
        renamed = {"tol": "tolerance", "device": "simulator"}  # as 0.1 wrote them; it had no mode
        super().__setstate__({"mode": "fixed"} | {renamed.get(name, name): value for name, value in state.items()})

    # --- inside ----------------------------------------------------------------------------------

    def _prepare(self, n_features: int, given: tuple[int, ...] | None = None) -> None:
        """Settle the number of qubits and build the circuit, unless the angles given for it have the wrong shape."""
        needed = max(1, (n_features - 1).bit_length())
        n_qubits = max(needed, self.code_qubits + 1) if self.n_qubits is None else self.n_qubits
        ansatz, n_angles = self._ansatz(n_qubits)
        if needed > n_qubits:
            raise ValueError(
                f"{n_features} features are more than the {2**n_qubits} amplitudes of n_qubits={n_qubits}: "
                f"they need n_qubits={needed}, or None for as many as needed"
            )
        if given is not None and given != (n_angles,):
            raise ValueError(f"this encoder has {n_angles} angles, got an array of shape {given}")
        compression.code_words(self.code_qubits, self.observables)
        self.n_qubits_ = n_qubits
        self.circuit_ = RotationCircuit(ansatz, n_angles, n_qubits)

    def _ansatz(self, n_qubits: int) -> tuple[Ansatz, int]:
        if self.mode not in ("fixed", "published"):
            raise ValueError(f"mode must be 'fixed' or 'published', got {self.mode!r}")
        ansatz = "published" if self.mode == "published" else self.ansatz
        return encoder_ansatz(ansatz, n_qubits, self.code_qubits, self.layers, self.shared, self.n_angles)

    def _objective(self) -> Objective:
        if self.simulator == "exact":
            return TrashLoss(self.circuit_, self.code_qubits)
        return pennylane_objective(self._ansatz(self.n_qubits_)[0], self.n_qubits_, self.code_qubits, self.simulator)
