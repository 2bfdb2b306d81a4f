"""Measured values set against exact ones, or against what the calibration promises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qperov.errors import HardwareError
from qperov.hardware.jobs.counts import Counts, z_expectations
from qperov.hardware.jobs.results import Results
from qperov.hardware.plan.plan import Plan
from qperov.hardware.plan.prediction import Prediction
from qperov.hardware.verification.exact import exact_marginals, exact_values

#: Circuits whose wires are looked at one by one.
MAX_CIRCUITS = 96

#: Standard deviations beyond which a qubit, a pair of neighbours or a sample stands out.
STANDS_OUT = 4.0

#: Share of circuits whose ⟨Z⟩ must be ±1, or as much in all, for the contrast of a wire to be known.
MIN_SIGNAL = 0.02


@dataclass(frozen=True)
class Agreement:
    """How one set of measured values agrees with the exact ones.

    Attributes
    ----------
    name : str
        "raw" or "readout"; "predicted …" for what the calibration promises.
    bias, rms_error : float
        Mean and root mean square of measured − exact.
    shot_noise : float
        Root mean square of the standard errors that the shots leave.
    survival, survival_error : float
        p of K → pK + (1 − p)/2ⁿ for fidelities, of ⟨P⟩ → p⟨P⟩ for Bloch vectors, and its standard error.
    scatter : float
        Standard deviation about that line beyond shot noise.
    correlation : float
        Of measured and exact values.
    told_apart : float or None
        Share of samples whose measured row is nearer to its own exact row, on that line, than to that of any other;
        of N samples chance gives 1/N. None for lists of pairs.
    """

    name: str
    bias: float
    rms_error: float
    shot_noise: float
    survival: float
    survival_error: float
    scatter: float
    correlation: float
    told_apart: float | None


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    plan : Plan
    exact : ndarray
        As `Results.raw`.
    measured : dict of str to ndarray
        Measured values by the name of their `Agreement`.
    agreements : tuple of Agreement
        Measured, then predicted.
    contrast, neighbours : ndarray of shape (n_qubits,), (n_qubits − 1,)
        Share of ⟨Z⟩ of each wire that is left, as it is read; that of ⟨ZZ⟩ of wires that follow each other over the
        product of their own: 1 unless they err together. NaN where the circuits do not tell.
    contrast_errors, neighbours_errors : ndarray
        Their standard errors by shots.
    samples : ndarray of shape (n_samples,)
        Mean deviation from the line of each sample's values, in its own standard errors.
    """

    plan: Plan
    exact: np.ndarray
    measured: dict[str, np.ndarray]
    agreements: tuple[Agreement, ...]
    contrast: np.ndarray
    contrast_errors: np.ndarray
    neighbours: np.ndarray
    neighbours_errors: np.ndarray
    samples: np.ndarray

    def outlying_wires(self) -> np.ndarray:
        """Wires whose contrast lies below that of the others by more than their spread and the shots explain."""
        return _below(self.contrast, self.contrast_errors)

    def outlying_neighbours(self) -> np.ndarray:
        """First wires of the neighbours that err together."""
        away = np.abs(self.neighbours - 1) / np.hypot(self.neighbours_errors, _spread(self.neighbours))
        return np.flatnonzero(away > STANDS_OUT)

    def outlying_samples(self) -> np.ndarray:
        """Samples whose values deviate together."""
        spread = max(1.0, _spread(self.samples))
        return np.flatnonzero(np.abs(self.samples) > STANDS_OUT * spread)


def verify(results: Results) -> Verification:
    """Compare what was measured with exact values.

    Parameters
    ----------
    results : Results
        What has not come is left out.

    Raises
    ------
    HardwareError
        Nothing has come, or the plan does not say of what it is.
    CircuitSizeError, BondDimensionError
        There are no exact values of circuits as large and as entangled.
    """
    plan, exact = results.plan, exact_values(results.plan)
    measured, errors = {"raw": results.raw}, {"raw": results.raw_errors}
    if results.mitigated is not None:
        measured["readout"], errors["readout"] = results.mitigated, results.mitigated_errors
    if not np.isfinite(results.raw).any():
        raise HardwareError(f"nothing has come yet: qperov hardware collect {plan.plan_id}")
    agreements = [_agreement(name, plan, exact, values, errors[name]) for name, values in measured.items()]
    agreements += predicted_agreements(plan, exact)
    best = list(measured)[-1]
    deviation = measured[best] - _line(agreements[len(measured) - 1].survival, exact, plan)
    return Verification(
        plan,
        exact,
        measured,
        tuple(agreements),
        *_wires(results),
        _by_sample(plan, deviation, np.asarray(errors[best])),
    )


def predicted_agreements(plan: Plan, exact: np.ndarray) -> list[Agreement]:
    """What the calibration promises for a plan: values drawn with its errors and shots, seen as measured ones are."""
    if plan.prediction is None:
        return []
    found = [_agreement("predicted raw", plan, exact, *predicted_values(plan, exact, plan.prediction, readout=False))]
    if plan.readout:
        values = predicted_values(plan, exact, plan.prediction, readout=True)
        found.append(_agreement("predicted readout", plan, exact, *values))
    return found


def predicted_values(
    plan: Plan, exact: np.ndarray, prediction: Prediction, *, readout: bool, random_state: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Values as a backend with the predicted errors would give them, drawn with shots, and their standard errors.

    Parameters
    ----------
    plan, exact
    prediction : Prediction
    readout : bool
        Whether misreading is corrected.
    random_state : int
    """
    rng = np.random.default_rng(random_state)
    misread = 1 - 2 * np.array(prediction.misread)
    if plan.kind == "fidelity":
        # of a state that reads 0…0, and of one that is fully mixed
        read = float(np.prod((1 + misread) / 2))
        chances = prediction.survival * exact * read + (1 - prediction.survival) * 2.0**-plan.n_qubits
        chances = np.clip(chances, 0, 1)
        values = rng.binomial(plan.shots, chances) / plan.shots
        errors = np.sqrt(np.maximum(chances * (1 - chances), 1 / plan.shots) / plan.shots)
        if readout:
            mixed = (1 - prediction.survival) * 2.0**-plan.n_qubits
            return np.clip((values - mixed) / read + mixed, 0, 1), errors / read
        return values, errors
    means = exact * np.array(prediction.contrast) * misread
    values = 2 * rng.binomial(plan.shots, (1 + means) / 2) / plan.shots - 1
    errors = np.sqrt(np.maximum(1 - means**2, 1 / plan.shots) / plan.shots)
    return (np.clip(values / misread, -1, 1), errors / misread) if readout else (values, errors)


def _floor(plan: Plan) -> float:
    """Value of a fully mixed state."""
    return 2.0**-plan.n_qubits if plan.kind == "fidelity" else 0.0


def _line(survival: float, exact: np.ndarray, plan: Plan) -> np.ndarray:
    return survival * exact + (1 - survival) * _floor(plan)


def _agreement(name: str, plan: Plan, exact: np.ndarray, values: np.ndarray, errors: np.ndarray | None) -> Agreement:
    known = np.isfinite(values)
    x, y, sigma = exact[known], values[known], np.asarray(errors)[known]
    signal = x - _floor(plan)
    total = float(signal @ signal)
    survival = float(signal @ (y - _floor(plan)) / total) if total > 0 else float("nan")
    residual = y - _line(survival, x, plan)
    variance = float(np.mean(residual**2)) * len(x) / max(1, len(x) - 1)
    noise = float(np.mean(sigma**2))
    varied = x.std() > 0 and y.std() > 0
    return Agreement(
        name,
        float(np.mean(y - x)),
        float(np.sqrt(np.mean((y - x) ** 2))),
        float(np.sqrt(noise)),
        survival,
        float(np.sqrt(max(variance, noise) / total)) if total > 0 else float("nan"),
        float(np.sqrt(max(0.0, variance - noise))),
        float(np.corrcoef(x, y)[0, 1]) if varied else float("nan"),
        _told_apart(plan, _line(survival, exact, plan), values),
    )


def _told_apart(plan: Plan, expected: np.ndarray, values: np.ndarray) -> float | None:
    """Share of samples that are recognised by their rows; rows that are expected to be equal count as one."""
    if plan.kind == "bloch":
        rows, targets = (array.reshape(plan.n_samples, -1) for array in (values, expected))
    elif plan.pairs is None or plan.pairs.form == "pairs":
        return None
    else:
        rows, targets = plan.pairs.matrix(values), plan.pairs.matrix(expected)
    square = plan.kind == "fidelity" and rows.shape[0] == rows.shape[1]
    found = 0
    for number, row in enumerate(rows):
        # entries of a sample with itself, or with the one that it is taken for, do not tell
        used = np.isfinite(row) & np.isfinite(targets)
        squares = np.where(used, (row - targets) ** 2, 0.0)
        if square:
            squares[:, number] = 0.0
            np.fill_diagonal(squares, 0.0)
            used[:, number] = False
            np.fill_diagonal(used, False)
        distances = squares.sum(axis=1) / np.maximum(used.sum(axis=1), 1)
        same = np.abs(targets - targets[number]).max(axis=1, initial=0.0, where=np.isfinite(targets)) < 1e-9
        found += bool(same[int(np.argmin(distances))])
    return found / len(rows)


def _by_sample(plan: Plan, deviation: np.ndarray, errors: np.ndarray) -> np.ndarray:
    scores = (deviation / errors).reshape(len(deviation), -1)
    if plan.kind == "bloch":
        whose = [np.repeat(np.arange(plan.n_samples), 3)]
    else:
        assert plan.pairs is not None
        whose = [plan.pairs.first, plan.pairs.second]
    sums, numbers = np.zeros(plan.n_samples), np.zeros(plan.n_samples)
    known = np.isfinite(scores)
    for samples in whose:
        np.add.at(sums, samples, np.where(known, scores, 0.0).sum(axis=1))
        np.add.at(numbers, samples, known.sum(axis=1))
    return sums / np.sqrt(np.maximum(numbers, 1))


def _wires(results: Results) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Contrast of each wire and of neighbours over the product of their own, each with its standard error."""
    plan = results.plan
    rows, z, zz = [], [], []
    step = max(1, len(plan.bindings) // MAX_CIRCUITS)
    for start, stop, counts, _ in results.chunks:
        if counts is None:
            continue
        here = np.arange(-(-start // step) * step, stop, step)
        rows.append(here)
        z.append(z_expectations(counts)[here - start])
        zz.append(_neighbours(counts)[here - start])
    exact_z, exact_zz = exact_marginals(plan, np.concatenate(rows))
    single, single_errors = _contrast(exact_z, np.concatenate(z), plan.shots)
    double, double_errors = _contrast(exact_zz, np.concatenate(zz), plan.shots)
    apart = single[:-1] * single[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = [single_errors[:-1] / single[:-1], single_errors[1:] / single[1:], double_errors / double]
        ratio = double / apart
        return single, single_errors, ratio, np.abs(ratio) * np.sqrt(sum(part**2 for part in relative))


def _neighbours(counts: Counts) -> np.ndarray:
    """⟨ZZ⟩ of wires that follow each other, shape (n_bindings, n_qubits − 1)."""
    return counts.mean(1.0 - 2.0 * (counts.bits[:, :-1] ^ counts.bits[:, 1:]))


def _contrast(exact: np.ndarray, measured: np.ndarray, shots: int) -> tuple[np.ndarray, np.ndarray]:
    """Slope of measured on exact values through 0 for each column, and its standard error."""
    signal = (exact**2).sum(axis=0)
    enough = signal > MIN_SIGNAL * len(exact)
    variance = np.maximum(1 - measured**2, 1 / shots) / shots
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (exact * measured).sum(axis=0) / signal
        error = np.sqrt((exact**2 * variance).sum(axis=0)) / signal
    return np.where(enough, slope, np.nan), np.where(enough, error, np.nan)


def _spread(values: np.ndarray) -> float:
    """Standard deviation by the median, which outliers do not move."""
    known = values[np.isfinite(values)]
    return 1.4826 * float(np.median(np.abs(known - np.median(known)))) if len(known) else 0.0


def _below(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    known = values[np.isfinite(values)]
    if not len(known):
        return np.empty(0, int)
    return np.flatnonzero((np.median(known) - values) / np.hypot(errors, _spread(values)) > STANDS_OUT)
