"""Support vector classification with any quantum or classical kernel, as a plain scikit-learn classifier."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.base import ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.gaussian_process.kernels import Kernel
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from qperov.errors import keyword_only
from qperov.quantum.estimators.kernel_machine import KernelMachine

#: Folds in which samples are left out to calibrate probabilities; fewer where a class has fewer samples.
CALIBRATION_FOLDS = 5


class QuantumSVC(ClassifierMixin, KernelMachine):
    """Support vector classification in the feature space of a quantum kernel, for two classes or more.

    Prediction evaluates the kernel at the support vectors only.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel, "precomputed" or None
        As for `QuantumSVR`.
    C : float
        Penalty on samples inside the margin.
    class_weight : dict, "balanced" or None
        Factors of C by class.
    tolerance : float
        Tolerance of the solver.
    max_iter : int
        Limit on the solver's iterations; −1 for none.
    probability : bool
        Whether ``fit`` also calibrates `predict_proba`, which takes five more runs of the solver on the same kernel
        matrix. The class of the highest probability may then differ from that of `predict`, as in scikit-learn. The
        sample of a class that has one cannot be left out: its sigmoid is the mean of the others', if there are any.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    kernel_ : Kernel or "precomputed"
        The kernel that was used, with the bandwidth that was found if it was to be found.
    support_ : ndarray of shape (n_support,)
        Rows of the training data that are support vectors.
    support_vectors_ : ndarray of shape (n_support, n_features)
        The support vectors; empty with a precomputed kernel.
    solver_ : sklearn.svm.SVC
        The fitted solver on the precomputed matrix.
    calibration_ : ndarray of shape (n_functions, 2)
        Slope a and offset b of each decision function's sigmoid; only with ``probability``.
    n_iter_ : ndarray of int
        Iterations that the solver took, one for each pair of classes.

    Warns
    -----
    ConcentratedKernelWarning
        The training matrix is nearly the identity, so that the model can remember and not generalise.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(30, 2))
    >>> QuantumSVC(C=10.0).fit(X, X[:, 0] > 0).predict([[1.0, 0.0], [-1.0, 0.0]]).tolist()
    [True, False]
    """

    @keyword_only(tol="tolerance")
    def __init__(
        self,
        kernel: Kernel | str | None = None,
        *,
        C: float = 1.0,
        class_weight: dict | str | None = None,
        tolerance: float = 1e-3,
        max_iter: int = -1,
        probability: bool = False,
    ) -> None:
        self.kernel = kernel
        self.C = C
        self.class_weight = class_weight
        self.tolerance = tolerance
        self.max_iter = max_iter
        self.probability = probability

    def fit(self, X: ArrayLike, y: ArrayLike) -> QuantumSVC:
        """Find the support vectors.

        Parameters
        ----------
        X : array of shape (n_samples, n_features), or the kernel matrix of shape (n_samples, n_samples)
        y : array of shape (n_samples,)
            Class labels.

        Raises
        ------
        ValueError
            NaN or infinity, shapes that do not fit, one class only, an unknown kernel, a parameter out of range.
        CircuitSizeError
            More than 26 qubits.
        """
        samples, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"the number of classes has to be greater than one; got {len(self.classes_)} class")
        gram = self._training_matrix(samples, numbers)
        solver = SVC(
            kernel="precomputed", C=self.C, class_weight=self.class_weight, tol=self.tolerance, max_iter=self.max_iter
        )
        counts = np.bincount(numbers)
        if self.probability and counts.min() > 1:
            self.solver_, self.calibration_ = _calibrated(solver, gram, numbers, labels)
        else:
            self.solver_ = solver.fit(gram, labels)
            if self.probability:
                # −1, 0 is the sigmoid of the decision function itself
                self.calibration_ = np.tile([-1.0, 0.0], (1 if len(counts) == 2 else len(counts), 1))
                several = np.flatnonzero(counts[numbers] > 1)
                if (counts > 1).sum() > 1:
                    part = gram[np.ix_(several, several)]
                    _, found = _calibrated(clone(solver), part, np.unique(numbers[several], return_inverse=True)[1])
                    self.calibration_[:] = found.mean(axis=0)
                    self.calibration_[counts > 1] = found
        self._keep_support(self.solver_, samples)
        self.n_iter_ = self.solver_.n_iter_
        return self

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Signed distances, shape (n_samples,) for two classes and (n_samples, n_classes) for more."""
        check_is_fitted(self)
        return self.solver_.decision_function(self._all_columns(X))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Class labels of shape (n_samples,) for X of shape (n_samples, n_features), or for K(test, train)."""
        check_is_fitted(self)
        return self.solver_.predict(self._all_columns(X))

    @available_if(lambda self: self.probability)
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probability of each class, shape (n_samples, n_classes): σ(−a·f(x) − b), normalised over the classes.

        f are the decision functions, and a, b were fitted by scikit-learn's CalibratedClassifierCV to their values at
        samples left out in five folds.

        Only with ``probability=True``.
        """
        check_is_fitted(self, "calibration_")
        values = self.decision_function(X)
        found = expit(-(values.reshape(len(values), -1) * self.calibration_[:, 0] + self.calibration_[:, 1]))
        if found.shape[1] == 1:
            return np.hstack([1 - found, found])
        sums = found.sum(axis=1, keepdims=True)
        return np.where(sums > 0, found / np.where(sums > 0, sums, 1), 1 / len(self.classes_))

    def _all_columns(self, X: ArrayLike) -> np.ndarray:
        """K(X, train) with zeros where the solver does not look."""
        samples = validate_data(self, X, dtype=np.float64, reset=False)
        gram = np.zeros((len(samples), self.solver_.shape_fit_[0]))
        gram[:, self.support_] = self._matrix_with(samples, self.support_, self.support_vectors_)
        return gram


def _calibrated(
    solver: SVC, gram: np.ndarray, numbers: np.ndarray, labels: np.ndarray | None = None
) -> tuple[SVC, np.ndarray]:
    """The solver fitted to all samples, and its sigmoids fitted to samples left out; two or more of each class."""
    folds = StratifiedKFold(max(2, min(CALIBRATION_FOLDS, np.bincount(numbers).min())))
    calibrated = CalibratedClassifierCV(solver, ensemble=False, cv=folds)
    (whole,) = calibrated.fit(gram, numbers if labels is None else labels).calibrated_classifiers_
    return whole.estimator, np.array([[sigmoid.a_, sigmoid.b_] for sigmoid in whole.calibrators])
