"""WSP-GAN: the game, its gradients, the published fault, few labels, files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from gan_figures import draw_errors, draw_training
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import check_regressors_train, parametrize_with_checks

import qperov
from qperov.classical.adversarial import (
    PropertyQueue,
    discriminator_loss,
    fake_queues,
    generator_loss,
    gradient_penalty,
)
from qperov.classical.gan import WSPGAN
from qperov.classical.networks import discriminator, generator, logits
from qperov.errors import MissingDependencyError, PublishedFaultWarning, RecordError
from qperov.torch_support import state_of

X = np.random.default_rng(3).normal(size=(120, 16))
Y = 5 + 0.1 * (X[:, 0] - 2 * X[:, 5] + X[:, 10])
SHORT = {"steps": 6, "batch_size": 8}


@pytest.mark.slow
@parametrize_with_checks(
    [WSPGAN(steps=6)],
    expected_failed_checks=lambda model: {"check_regressors_train": "six steps teach nothing: see the next test"},
)
def test_scikit_learn_conventions(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # one check is skipped without it
    check(estimator)


@pytest.mark.slow
def test_scikit_learn_conventions_with_time_to_learn():
    check_regressors_train("WSPGAN", WSPGAN(steps=200, learning_rate=3e-3))


# --- queues and losses --------------------------------------------------------------------------


@given(st.integers(2, 6), st.integers(1, 9), st.sampled_from(["replace", "append"]))
@settings(deadline=None)
def test_queues_are_those_of_single_steps(length, batch, fake_step):
    queue = PropertyQueue(torch.arange(float(length)), fake_step)
    real = 100 + torch.arange(float(batch))
    x_r, history = queue.real_step(real)
    by_hand = [float(i) for i in range(length)]
    for row, value in enumerate(real.tolist()):
        before = by_hand
        by_hand = [*by_hand[1:], value]
        assert x_r[row].tolist() == by_hand
        # figure S1: the fake is appended to x_r and the oldest dropped; otherwise it takes the label's place
        assert history[row].tolist() == (by_hand[1:] if fake_step == "append" else before[1:])
    assert queue.values.tolist() == by_hand
    assert fake_queues(history, real + 0.5).shape == (batch, length)


def test_perfect_generator_deceives_only_in_the_labels_place():
    real = torch.randn(20, generator=torch.Generator().manual_seed(0))
    for fake_step in ("replace", "append"):
        x_r, history = PropertyQueue(torch.zeros(3), fake_step).real_step(real)
        x_f = fake_queues(history, real)
        if fake_step == "replace":
            assert torch.equal(x_r, x_f)
        else:  # each fake repeats the value before it; no real queue does
            assert torch.equal(x_f[:, -1], x_f[:, -2])
            assert (x_r[:, -1] != x_r[:, -2]).all()


def test_losses_are_the_papers_and_have_its_optimum():
    real, fake = torch.tensor([0.3, -1.0]), torch.tensor([2.0, -0.5])
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    expected = -(torch.log(d_real) + torch.log(1 - d_fake)).mean()
    assert discriminator_loss(real, fake).item() == pytest.approx(expected.item(), rel=1e-6)
    saturating = torch.log(1 - d_fake).mean().item()
    assert generator_loss(fake, "saturating").item() == pytest.approx(saturating, rel=1e-5)
    assert generator_loss(fake, "non_saturating").item() == pytest.approx(-torch.log(d_fake).mean().item(), rel=1e-5)
    assert discriminator_loss(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(2 * np.log(2))
    # a discriminator that is sure of itself leaves the saturating loss without a slope
    sure = torch.tensor([-20.0], requires_grad=True)
    slopes = [torch.autograd.grad(generator_loss(sure, k), sure)[0].item() for k in ("saturating", "non_saturating")]
    assert abs(slopes[0]) < 1e-8
    assert slopes[1] == pytest.approx(-1, abs=1e-6)


def test_gradient_penalty_is_that_of_finite_differences():
    torch.manual_seed(0)
    network = discriminator().double()
    sequences = torch.randn(4, 3, 1, dtype=torch.float64)
    step, total = 1e-5, 0.0
    with torch.no_grad():
        for i in range(4):
            for j in range(3):
                shift = torch.zeros_like(sequences)
                shift[i, j] = step
                slope = (logits(network, sequences + shift) - logits(network, sequences - shift))[i] / (2 * step)
                total += slope.item() ** 2
    assert gradient_penalty(network, sequences).item() == pytest.approx(total / 8, rel=1e-6)


def test_the_discriminator_reads_a_sequence_and_heeds_its_order():
    torch.manual_seed(0)
    network = discriminator()
    sequence = torch.tensor([[1.0, -2.0, 0.5]])[:, :, None]
    assert logits(network, sequence).shape == (1,)
    assert not torch.isclose(logits(network, sequence), logits(network, sequence.flip(1)))
    bound = discriminator(spectral_norm=True)
    for layer in (bound["out"][0], bound["out"][2]):
        for _ in range(50):
            weight = layer.weight  # each access in training mode improves the estimate
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=1e-3)


# --- the published fault, and its repair --------------------------------------------------------


def untrained(seed: int, double: bool = False) -> dict[str, np.ndarray]:
    """Weights the generator is drawn with."""
    torch.manual_seed(int(np.random.RandomState(seed).randint(2**31)))
    network = generator(4)
    return state_of(network.double() if double else network)


def test_the_generator_of_matganicss_never_changes():
    with pytest.warns(PublishedFaultWarning, match="cuts its gradient"):
        model = WSPGAN("matganicss", steps=30, random_state=4).fit(X, Y)
    for name, weight in untrained(4, double=True).items():
        assert np.array_equal(model.weights_[name], weight)
    # its discriminator does learn, on one step of five numbers
    assert model.discriminator_weights_["lstm.weight_ih_l0"].shape == (128, 5)
    assert model.history_["loss_d"][-1] != model.history_["loss_d"][0]


def test_the_generator_of_matganip_is_trained_without_labels():
    with pytest.warns(PublishedFaultWarning, match="not which crystal has which"):
        model = WSPGAN("matganip", steps=30, random_state=4).fit(X, Y)
    for name, weight in untrained(4, double=True).items():
        assert not np.array_equal(model.weights_[name], weight)
    assert model.discriminator_weights_["lstm.weight_ih_l0"].shape == (128, 1)
    with pytest.warns(PublishedFaultWarning):
        queue = WSPGAN("matganip", steps=30, random_state=4, queue=9).fit(X, Y)
    assert queue.history_ == model.history_  # one value a step, whatever the queue


def test_published_is_the_old_name_of_matganicss(tmp_path):
    with pytest.warns(PublishedFaultWarning), pytest.warns(DeprecationWarning, match='write mode="matganicss"'):
        old = WSPGAN("published", steps=4).fit(X, Y)
    with pytest.warns(PublishedFaultWarning):
        new = WSPGAN("matganicss", steps=4).fit(X, Y)
    assert old.history_ == new.history_
    kept = WSPGAN.load(old.save(tmp_path / "gan.safetensors"))
    assert np.array_equal(kept.predict(X), new.predict(X))


@pytest.mark.parametrize("kind", ["non_saturating", "saturating"])
def test_the_fixed_generator_is_trained_by_the_game_alone(kind):
    model = WSPGAN(supervised_weight=0.0, adversarial_weight=1.0, generator_loss=kind, **SHORT).fit(X, Y)
    for name, weight in untrained(0).items():
        assert not np.allclose(model.weights_[name], weight)
    assert model.discriminator_weights_["lstm.weight_ih_l0"].shape == (128, 1)


def test_odd_steps_train_the_discriminator_alone():
    assert all(np.array_equal(w, untrained(0)[n]) for n, w in WSPGAN(steps=1).fit(X, Y).weights_.items())
    assert not any(np.array_equal(w, untrained(0)[n]) for n, w in WSPGAN(steps=2).fit(X, Y).weights_.items())
    two, three = (WSPGAN(steps=steps).fit(X, Y).history_["supervised_loss"] for steps in (2, 3))
    assert two == three[:2]


def test_each_step_is_logged():
    history = WSPGAN(**SHORT).fit(X, Y).history_
    assert set(history) == {"d_real", "d_fake", "loss_d", "loss_g", "supervised_loss"}
    assert {len(values) for values in history.values()} == {6}
    assert all(0 < value < 1 for name in ("d_real", "d_fake") for value in history[name])
    assert history["loss_d"][0] == pytest.approx(2 * np.log(2), abs=0.2)  # an untrained D knows nothing


@pytest.mark.slow
def test_game_settles_near_its_optimum_when_labels_are_learnt():
    history = WSPGAN(steps=300, learning_rate=3e-3).fit(X, Y).history_
    assert np.mean(history["d_fake"][-60:]) == pytest.approx(0.5, abs=0.1)
    assert np.mean(history["loss_d"][-60:]) == pytest.approx(2 * np.log(2), abs=0.2)


@pytest.mark.parametrize(
    "parameters",
    [{"gradient_penalty": 1.0}, {"spectral_norm": True}, {"queue": 3}, {"fake_step": "append"}, {"queue": 2}],
)
def test_options_change_the_game(parameters, tmp_path):
    plain = WSPGAN(**SHORT).fit(X, Y)
    model = WSPGAN(**SHORT, **parameters).fit(X, Y)
    assert not np.array_equal(model.history_["loss_d"], plain.history_["loss_d"])
    again = WSPGAN.load(model.save(tmp_path / "gan.safetensors"))
    assert np.array_equal(again.predict(X), model.predict(X))


def test_a_seed_determines_the_game():
    first, same, other = (WSPGAN(random_state=seed, **SHORT).fit(X, Y) for seed in (1, 1, 2))
    assert first.history_ == same.history_
    assert np.array_equal(first.predict(X), same.predict(X))
    assert not np.allclose(first.predict(X), other.predict(X))


# --- few labels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n_labels", [1, 3, 5])
def test_few_labelled_crystals_are_enough_to_play(n_labels):
    model = WSPGAN(**SHORT).fit(X[:n_labels], Y[:n_labels], X_unlabelled=X[n_labels:])
    assert np.isfinite(model.predict(X)).all()
    # all crystals settle the scaling of the inputs, and unlabelled ones move the generator
    np.testing.assert_allclose(model.scaling_.mean, X.mean(axis=0))
    alone = WSPGAN(**SHORT).fit(X[:n_labels], Y[:n_labels], X_unlabelled=X[n_labels : n_labels + 2])
    assert not np.allclose(alone.predict(X), model.predict(X))


def test_unlabelled_crystals_must_fit():
    with pytest.raises(ValueError, match="X_unlabelled has 9 features, X has 16"):
        WSPGAN(**SHORT).fit(X, Y, X_unlabelled=X[:, :9])
    table = pd.DataFrame(X, columns=[f"f{i}" for i in range(16)])
    with pytest.raises(ValueError, match="same order"):
        WSPGAN(**SHORT).fit(table, Y, X_unlabelled=table.iloc[:, ::-1])
    with pytest.raises(ValueError, match="NaN"):
        WSPGAN(**SHORT).fit(X, Y, X_unlabelled=np.full((2, 16), np.nan))


# --- files, bad input, comparison, figures ------------------------------------------------------


def test_numbers_of_numpy_are_parameters_too(tmp_path):
    six, three, eight = np.array([6, 3, 8])
    model = WSPGAN(steps=six, queue=three, batch_size=eight, spectral_norm=np.bool_(False)).fit(X, Y)
    again = WSPGAN.load(model.save(tmp_path / "gan.safetensors"))
    assert np.array_equal(again.predict(X), model.predict(X))
    assert np.array_equal(model.predict(X), WSPGAN(**SHORT, queue=3).fit(X, Y).predict(X))


def test_saved_and_loaded(tmp_path):
    model = WSPGAN(**SHORT).fit(X, Y)
    again = WSPGAN.load(model.save(tmp_path / "gan.safetensors"))
    assert again.history_ == model.history_
    assert again.get_params() == model.get_params()
    for name, weight in model.discriminator_weights_.items():
        assert np.array_equal(again.discriminator_weights_[name], weight)
    (tmp_path / "gan.safetensors").write_text("{}")
    with pytest.raises(RecordError, match="no model could be read"):
        WSPGAN.load(tmp_path / "gan.safetensors")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mode": "original"}, "mode must be"),
        ({"queue": 1}, "queue must be at least 2"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"learning_rate": -1.0}, "learning_rate must be positive"),
        ({"learning_rate": float("inf")}, "learning_rate must be positive and finite"),
        ({"generator_loss": "hinge"}, "generator_loss must be"),
        ({"fake_step": "insert"}, "fake_step must be"),
        ({"supervised_weight": -1.0}, "supervised_weight must not be negative"),
        ({"gradient_penalty": float("nan")}, "gradient_penalty must not be negative"),
        ({"scale_inputs": "minmax"}, "scale_inputs must be"),
    ],
)
def test_parameters_out_of_range(parameters, message):
    with pytest.raises(ValueError, match=message):
        WSPGAN(**parameters).fit(X, Y)


def test_without_pytorch_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'qperov\[torch\]'"):
        WSPGAN().fit(X, Y)


@pytest.mark.slow
def test_compare_takes_it():
    table = qperov.compare({"WSP-GAN": WSPGAN(steps=200, learning_rate=3e-3)}, X, Y, folds=2).table
    assert table.set_index("model").loc["WSP-GAN", "r2"] > 0.3


def test_the_training_figure_has_the_lines_of_the_optimum():
    figure = draw_training(WSPGAN(**SHORT).fit(X, Y).history_, "title")
    heights = [[line.get_ydata()[0] for line in axes.lines if len(line.get_ydata()) == 2] for axes in figure.axes]
    assert heights == [[0.5], [pytest.approx(1.3863, abs=1e-4)]]


def test_the_error_figure_has_medians_and_percentiles_of_errors():
    truth, prediction = np.array([10.0, 20.0, 40.0]), np.array([11.0, 18.0, 44.0])
    figure = draw_errors((truth, prediction), (truth[:2], prediction[:2]), "meV/atom")
    medians = [[line.get_ydata()[0] for line in axes.lines if line.get_linewidth() == 1.8] for axes in figure.axes]
    np.testing.assert_allclose(medians[0], [2, 1.5, 10, 5])
    np.testing.assert_allclose(medians[1], [10, 10, 50, 50])
    with pytest.raises(ValueError, match="no error rate"):
        draw_errors((np.zeros(2), np.ones(2)), (truth, prediction), "meV/atom")
