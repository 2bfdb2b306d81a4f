"""Losses, gradients, networks and the training loop of the variational autoencoders."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qperov.errors import DivergedTrainingError
from qperov.generative.models.array_loss import ArrayScaling, Layout, block_losses, reconstruction_loss, vae_terms
from qperov.generative.models.networks import (
    LARGEST_LOG_VARIANCE,
    Architecture,
    Convolution,
    draw,
    kl_divergence,
    posterior,
    run_decoder,
    stored_part,
)
from qperov.generative.models.training import TrainingPlan, share_of_rate, split_rows, total_loss, train

LAYOUT = Layout(
    {"kinds": (slice(0, 3), slice(0, 2)), "sizes": (slice(3, 5), slice(0, 2))}, {"kinds": (0,)}, {"sizes": 3.0}
)
EVERYWHERE = np.ones((5, 2), bool)
SMALL = Architecture((5, 2), (Convolution(3, 3, 2),), (Convolution(2, 3, 2),), 4, 2, {"regressor": (3,)}, 0.2)


def small_arrays(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    arrays = np.zeros((n, 5, 2))
    arrays[:, :3] = np.eye(3)[rng.integers(3, size=(n, 2))].transpose(0, 2, 1)
    arrays[:, 3:] = rng.normal(size=(n, 2, 2))
    return arrays


def plan(**changes: object) -> TrainingPlan:
    given: dict = {
        "epochs": 5,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "weight_decay": 0.0,
        "weights": {"loss_of_fit": 1.0},
        "warm_up": 0,
        "validation_fraction": 0.0,
        "patience": 5,
    }
    return TrainingPlan(**(given | changes))


# --- losses -------------------------------------------------------------------------------------


def test_kl_is_that_of_two_gaussians() -> None:
    mean, log_variance = torch.randn(7, 3, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    p = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(q, p).mean()
    assert kl_divergence(mean, log_variance).item() == pytest.approx(expected.item(), rel=1e-12)
    zero = torch.zeros(4, 3)
    assert kl_divergence(zero, zero).item() == 0


def test_draws_have_the_mean_and_variance_asked_for() -> None:
    torch.manual_seed(0)
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, -4.0]])
    z = draw(mean.expand(200_000, 2), log_variance.expand(200_000, 2))
    assert torch.allclose(z.mean(0), mean[0], atol=0.01)
    assert torch.allclose(z.std(0), torch.tensor([1.0, float(np.exp(-2))]), rtol=0.01)


def test_losses_of_blocks_by_hand() -> None:
    true = torch.zeros(1, 5, 2)
    true[0, 1, 0] = 1  # the second column chooses nothing
    true[0, 3:] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    out = torch.zeros(1, 5, 2)
    out[0, 1, 0] = np.log(2)
    out[0, 3:] = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    losses = block_losses(out, true, LAYOUT, EVERYWHERE)
    # exp u is 1, 2, 1 and 1 for nothing: p = 2/5; in the second column nothing has 1/4
    assert losses["kinds"].item() == pytest.approx((np.log(5 / 2) + np.log(4)) / 2)
    assert losses["sizes"].item() == pytest.approx(2**2 / 4)
    assert reconstruction_loss(losses, LAYOUT).item() == pytest.approx((losses["kinds"].item() + 3 * 1) / 4)


def test_entries_that_never_vary_take_no_part_in_the_mean() -> None:
    true, out = torch.zeros(2, 5, 2), torch.zeros(2, 5, 2)
    out[:, 3:] = torch.tensor([[1.0, 2.0], [3.0, 100.0]])
    varies = EVERYWHERE.copy()
    varies[4, 1] = False
    assert block_losses(out, true, LAYOUT, varies)["sizes"].item() == pytest.approx((1 + 4 + 9) / 3)
    varies[3:] = False
    assert block_losses(out, true, LAYOUT, varies)["sizes"].item() == 0


def test_cross_entropy_is_pytorchs_with_one_more_class() -> None:
    out = torch.randn(6, 4, 5)
    chosen = torch.tensor([0, 1, 2, 3, 4, 1])  # 4: nothing
    true = torch.nn.functional.one_hot(chosen, 5).float()[:, :4, None].expand(6, 4, 5)
    layout = Layout({"kinds": (slice(0, 4), slice(0, 5))}, {"kinds": (0,)}, {})
    logits = torch.cat([out, torch.zeros(6, 1, 5)], dim=1)
    expected = torch.nn.functional.cross_entropy(logits, chosen[:, None].expand(6, 5))
    assert block_losses(out, true, layout, np.ones((4, 5), bool))["kinds"].item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_scaling_inverts_and_gives_probabilities() -> None:
    arrays = (3 + 2 * small_arrays(50)).astype(np.float32)
    arrays[:, :3] = small_arrays(50)[:, :3]
    arrays[:, 4, 1] = 7.0  # never varies
    scaling = ArrayScaling.learn(arrays, LAYOUT)
    inputs = scaling.inputs(arrays)
    assert np.array_equal(inputs[:, :3], arrays[:, :3])
    np.testing.assert_allclose(inputs[:, 3].std(axis=0), 1, rtol=1e-5)
    assert not inputs[:, 4, 1].any()
    back = scaling.arrays(inputs, LAYOUT)
    np.testing.assert_allclose(back[:, 3:], arrays[:, 3:], rtol=1e-5)
    logits = inputs.copy()
    logits[:, :3] = 20 * np.random.default_rng(0).normal(size=(50, 3, 2))
    chances = scaling.arrays(logits, LAYOUT)[:, :3]
    assert np.array_equal(chances.argmax(axis=1), logits[:, :3].argmax(axis=1))
    assert (chances >= 0).all()
    assert (chances.sum(axis=1) <= 1 + 1e-6).all()
    assert (scaling.arrays(logits + 5, LAYOUT)[:, 4, 1] == 7).all()  # what never varied comes out as it was
    stranger = arrays[:1] + 1
    assert scaling.inputs(stranger)[0, 4, 1] == 1  # and goes in unscaled
    even = scaling.arrays(np.zeros((1, 5, 2), np.float32), LAYOUT)
    np.testing.assert_allclose(even[0, :3], 1 / 4)


@pytest.mark.parametrize(
    ("weights", "message"),
    [({"shapes": 1.0}, "no blocks .*: shapes"), ({"sizes": -1.0}, "negative"), ({"sizes": 0, "kinds": 0}, "positive")],
)
def test_weights_of_blocks_are_checked(weights: Mapping[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layout(LAYOUT.blocks, LAYOUT.choices, weights)


def test_terms_are_means_whatever_the_size_of_the_batch() -> None:
    torch.manual_seed(0)
    network = SMALL.build().double().eval()
    inputs, y = torch.as_tensor(small_arrays(6)), torch.randn(6, dtype=torch.float64)
    once = vae_terms(network, inputs, LAYOUT, EVERYWHERE, {"regressor": y})
    twice = vae_terms(network, inputs.repeat(2, 1, 1), LAYOUT, EVERYWHERE, {"regressor": y.repeat(2)})
    assert set(once) == {"reconstruction", "kl", "regression", "block.kinds", "block.sizes"}
    for name, value in once.items():
        assert twice[name].item() == pytest.approx(value.item(), rel=1e-10)


@pytest.mark.parametrize("training", [False, True])
def test_gradients_are_those_of_finite_differences(training: bool) -> None:
    torch.manual_seed(1)
    heads = {"regressor": (3,), "classifier": (2,)}
    network = Architecture((5, 2), SMALL.encoder, SMALL.decoder, 4, 2, heads, 0.2).build().double().train(training)
    inputs = torch.as_tensor(small_arrays(6))
    targets = {"regressor": torch.randn(6).double(), "classifier": (torch.randn(6) > 0).double()}
    names = [name for name, _ in network.named_parameters()]

    def loss(*values: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(2)  # the same draws of z each time

        class Terms(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def forward(self) -> torch.Tensor:
                terms = vae_terms(self.network, inputs, LAYOUT, EVERYWHERE, targets)
                return terms["reconstruction"] + 0.3 * terms["kl"] + terms["regression"] + terms["classification"]

        return torch.func.functional_call(
            Terms(), {f"network.{name}": value for name, value in zip(names, values, strict=True)}
        )

    parameters = tuple(value.detach().clone().requires_grad_() for value in network.parameters())
    assert torch.autograd.gradcheck(loss, parameters, eps=1e-6, atol=1e-6, fast_mode=True)


# --- networks -----------------------------------------------------------------------------------


@given(st.integers(1, 3), st.data())
@settings(max_examples=25, deadline=None)
def test_the_decoder_gives_arrays_of_the_encoders_size(dims: int, data: st.DataObject) -> None:
    size = st.integers(2, 9)
    shape = (*data.draw(st.lists(size, min_size=dims, max_size=dims)), 2)
    layer = st.builds(Convolution, st.integers(1, 3), st.sampled_from([1, 3, 5]), st.integers(1, 3))
    encoder = tuple(data.draw(st.lists(layer, min_size=1, max_size=3)))
    decoder = (*(Convolution(2, one.kernel, one.stride) for one in reversed(encoder)),)
    architecture = Architecture(shape, encoder, decoder, 3, 2)
    network = architecture.build().eval()
    arrays = torch.zeros(2, *shape)
    mean, log_variance = posterior(network["encoder"], arrays)
    assert mean.shape == log_variance.shape == (2, 2)
    assert run_decoder(network["decoder"], mean).shape == arrays.shape


def test_the_log_variance_is_bounded_above_alone() -> None:
    class Given(torch.nn.Module):
        def forward(self, arrays: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 0.0, 0.0, -30.0, 0.0, 1e6]])

    mean, log_variance = posterior(Given(), torch.zeros(1, 4, 1))
    assert not mean.any()
    assert log_variance[0].tolist() == pytest.approx([-30, 2 - np.log1p(np.exp(2)), LARGEST_LOG_VARIANCE])


def test_a_part_is_built_with_its_own_weights_alone() -> None:
    network = SMALL.build().eval()
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    z = torch.randn(3, 2)
    assert torch.equal(stored_part(SMALL.build, "decoder", state)(z), network["decoder"](z))
    del state["encoder.0.weight"]
    stored_part(SMALL.build, "decoder", state)
    with pytest.raises(RuntimeError, match=r"Missing key.*0\.weight"):
        stored_part(SMALL.build, "encoder", state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (5,)}, "one to three dimensions"),
        ({"encoder": ()}, "one to three dimensions"),
        ({"hidden": 0}, "at least one unit"),
        ({"heads": {"regressor": (0,)}}, "at least one unit"),
        ({"decoder": (Convolution(2, 3, 1),)}, "strides of the decoder"),
        ({"decoder": (Convolution(3, 3, 2),)}, "2 channels"),
    ],
)
def test_architectures_that_do_not_fit_together(changes: dict, message: str) -> None:
    fields = {name: getattr(SMALL, name) for name in ("shape", "encoder", "decoder", "hidden", "latent", "heads")}
    with pytest.raises(ValueError, match=message):
        Architecture(**(fields | changes))
    with pytest.raises(ValueError, match="odd kernel"):
        Convolution(1, 4, 1)


# --- the loop -----------------------------------------------------------------------------------


def line() -> torch.nn.Module:
    return torch.nn.Linear(2, 1)


def squared_error(network: torch.nn.Module, batch: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"loss_of_fit": (network(batch[0]).squeeze(1) - batch[1]).square().mean()}


def line_data(n: int, noise: float = 0.0, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    return [x.astype(np.float32), (1 + x @ [0.5, -0.3] + noise * rng.normal(size=n)).astype(np.float32)]


NOTHING = [np.empty((0, 2), np.float32), np.empty(0, np.float32)]


def test_a_line_is_found() -> None:
    many_steps = plan(epochs=120, batch_size=100, learning_rate=0.1)
    trained = train(line, squared_error, line_data(100), NOTHING, many_steps, random_state=0)
    np.testing.assert_allclose(trained.state["weight"], [[0.5, -0.3]], atol=0.01)
    np.testing.assert_allclose(trained.state["bias"], [1], atol=0.01)
    assert trained.best_epoch == 119
    assert trained.history["loss"] == trained.history["loss_of_fit"]
    assert set(trained.history) == {"loss", "loss_of_fit"}


@given(st.integers(1, 400))
def test_the_learning_rate_rises_and_falls_to_nothing(steps: int) -> None:
    shares = [share_of_rate(step, steps) for step in range(steps)]
    top = int(np.argmax(shares))
    assert shares[top] == 1
    assert (np.diff(shares[: top + 1]) > 0).all()
    assert (np.diff(shares[top:]) < 0).all()
    assert share_of_rate(steps, steps + 1) == pytest.approx(0, abs=1e-12)
    assert top + 1 == max(1, round(0.1 * steps))


def test_seed_determines_weights_and_nothing_else() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, same, other = (train(line, squared_error, line_data(40), NOTHING, plan(), random_state=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(first.state["weight"], same.state["weight"])
    assert first.history == same.history
    assert not np.allclose(first.state["weight"], other.state["weight"])


def test_early_stopping_keeps_the_best_weights() -> None:
    def wide() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))

    kept = line_data(30, noise=1.0, seed=1)
    trained = train(
        wide,
        squared_error,
        line_data(12, noise=1.0),
        kept,
        plan(epochs=300, patience=15, learning_rate=0.02),
        random_state=0,
    )
    losses = trained.history["validation_loss"]
    assert len(losses) < 300
    assert trained.best_epoch == int(np.argmin(losses)) == len(losses) - 1 - 15
    network = wide()
    network.load_state_dict({name: torch.as_tensor(value) for name, value in trained.state.items()})
    found = squared_error(network, [torch.as_tensor(array) for array in kept])["loss_of_fit"].item()
    assert found == pytest.approx(min(losses), rel=1e-4)


def test_training_goes_on_from_given_weights() -> None:
    start = {"weight": np.array([[0.5, -0.3]], np.float32), "bias": np.ones(1, np.float32)}
    trained = train(line, squared_error, line_data(40), NOTHING, plan(epochs=1), random_state=0, initial=start)
    assert trained.history["loss"][0] < 1e-3
    with pytest.raises(RuntimeError, match="size mismatch"):
        train(line, squared_error, line_data(40), NOTHING, plan(), random_state=0, initial=start | {"bias": np.ones(2)})


def test_every_epoch_is_reported() -> None:
    seen: list[tuple] = []
    trained = train(
        line,
        squared_error,
        line_data(40),
        line_data(9),
        plan(epochs=3),
        random_state=0,
        progress=lambda *step: seen.append(step),
    )
    losses = zip(trained.history["loss"], trained.history["validation_loss"], strict=True)
    told = [f"loss {own:.4g}, validation loss {held:.4g}" for own, held in losses]
    assert seen == [(1, 3, told[0]), (2, 3, told[1]), (3, 3, told[2])]
    assert set(trained.history) == {"loss", "loss_of_fit", "validation_loss", "validation_loss_of_fit"}


def test_batches_of_an_epoch_see_every_crystal_once() -> None:
    sizes: list[int] = []
    seen: list[float] = []

    def terms(network: torch.nn.Module, batch: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        sizes.append(len(batch[0]))
        seen.extend(batch[1].tolist())
        return squared_error(network, batch)

    data = line_data(33)
    train(line, terms, data, NOTHING, plan(epochs=1, batch_size=16), random_state=0)
    assert sizes == [11, 11, 11]
    assert sorted(seen) == sorted(data[1].tolist())


def test_weight_of_kl_warms_up_and_validation_takes_it_in_full() -> None:
    warming = plan(weights={"kl": 0.4, "fit": 2.0}, warm_up=4)
    assert [warming.weights_in(epoch)["kl"] for epoch in range(6)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    assert {warming.weights_in(epoch)["fit"] for epoch in range(6)} == {2.0}

    def terms(network: torch.nn.Module, batch: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"kl": network(batch[0]).mean() * 0 + 1, "unweighted": torch.tensor(5.0)}

    trained = train(line, terms, line_data(20), line_data(20), plan(weights={"kl": 0.4}, warm_up=4), random_state=0)
    assert trained.history["loss"] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])
    assert trained.history["validation_loss"] == pytest.approx([0.4] * 5)
    assert trained.history["unweighted"] == pytest.approx([5.0] * 5)


def test_terms_without_a_weight_are_left_out_of_the_loss() -> None:
    terms = {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}
    assert total_loss(terms, {"a": 0.5, "absent": 9.0}).item() == 1


def test_a_loss_that_runs_away_is_named() -> None:
    data = line_data(20)
    data[1][3] = np.inf
    with pytest.raises(DivergedTrainingError, match="epoch 1"):
        train(line, squared_error, data, NOTHING, plan(), random_state=0)


@given(st.integers(2, 60), st.floats(0, 0.99), st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_crystals_are_learnt_from_or_kept_back(n: int, fraction: float, seed: int) -> None:
    learnt, kept = split_rows(n, fraction, seed)
    assert sorted([*learnt, *kept]) == list(range(n))
    assert len(learnt) >= 2
    assert len(kept) == min(round(fraction * n), n - 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"patience": 0}, "patience must be"),
        ({"warm_up": -1}, "warm_up must be"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": np.nan}, "learning_rate must be positive"),
        ({"weight_decay": -1.0}, "weight_decay not negative"),
        ({"validation_fraction": 1.0}, "validation_fraction must lie"),
        ({"weights": {"kl": -1.0}}, "weights of a loss .*kl"),
        ({"weights": {"kl": np.nan}}, "weights of a loss .*kl"),
    ],
)
def test_plans_out_of_range(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(**changes)
