"""The study of noise: a planted line is found and applied, and the words follow the numbers."""

from __future__ import annotations

import numpy as np
import pytest

import qperov
from qperov.records.study import Study
from qperov.studies import noise as noise_study
from qperov.studies.models import build_suite
from qperov.studies.noise import MACHINE, MeasuredNoise, noise_studies


def test_global_depolarising_noise_is_found() -> None:
    random = np.random.default_rng(0)
    exact, p, n_qubits, shots = random.uniform(0, 1, 4000), 0.7, 6, 1024
    measured = random.binomial(shots, p * exact + (1 - p) / 2**n_qubits) / shots
    noise = MeasuredNoise.of(exact, measured, shots)
    assert noise.slope == pytest.approx(p, abs=0.005)
    assert noise.offset == pytest.approx((1 - p) / 2**n_qubits, abs=0.003)
    assert noise.scatter < 0.004  # the shots' own is 0.014


def test_scatter_beyond_the_shots_is_found_and_applied() -> None:
    random = np.random.default_rng(1)
    exact, shots = random.uniform(0.3, 0.7, 4000), 1024
    measured = random.binomial(shots, 0.8 * exact + 0.1 + 0.05 * random.normal(size=4000)) / shots
    noise = MeasuredNoise.of(exact, measured, shots)
    assert noise.scatter == pytest.approx(0.05, rel=0.05)
    K = np.full((120, 120), 0.5)
    applied = noise.applied(K, shots, seed=0)
    np.testing.assert_array_equal(applied, applied.T)
    upper = applied[np.triu_indices(120, 1)]
    assert upper.mean() == pytest.approx(0.5, abs=0.003)
    assert upper.std() == pytest.approx(np.sqrt(0.05**2 + 0.25 / shots), rel=0.05)
    np.testing.assert_array_equal(applied, noise.applied(K, shots, seed=0))


@pytest.fixture(scope="module")
def study() -> Study:
    dataset = qperov.load_dataset("cpx321").take(range(0, 986, 30))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(noise_study, "QUBITS", 3)
        patched.setattr(noise_study, "BANDWIDTHS", (1.0, 3.0))
        (made,) = noise_studies(build_suite(dataset, quick=True).models, dataset, quick=True)
    return made


def test_pairs_are_measured_on_the_machine_and_lose_fidelity(study: Study) -> None:
    pairs = study.data["pairs"]
    assert len(pairs) == 8 * 9 // 2
    own = pairs[pairs["exact"] > 1 - 1e-9]
    assert len(own) >= 8
    assert own["measured"].mean() < 0.99


def test_it_says_that_no_machine_was_used_and_gives_its_numbers(study: Study) -> None:
    text = " ".join(study.paragraphs)
    assert "no real machine was used" in text
    assert MACHINE in text
    for value in study.tables["Scores"]["R²"]:
        assert f"{value:.2f}".replace("-", "−") in study.paragraphs[0]
    assert next(iter(study.tables["Scores"]["matrix"])) == "exact"


def test_without_a_quantum_kernel_it_says_so() -> None:
    dataset = qperov.load_dataset("cpx321").take(range(30))
    (made,) = noise_studies({}, dataset)
    assert made.paragraphs[0].startswith("Skipped: no model searches")
