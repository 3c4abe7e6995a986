"""Losses against closed forms, a linear VAE against probabilistic PCA, and the use of labels."""

import logging
import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from ser.data.batches import UNLABELLED, Batch, Task
from ser.errors import UserError
from ser.models.cvae import CVAE
from ser.models.losses import kl_to_standard_normal
from ser.models.vae import VAE, Autoencoder, Draws
from ser.networks.mlp import MLPDecoder, MLPEncoder

TASK = Task(6, 3, None, {})
ADAM = partial(torch.optim.Adam, lr=1e-3)
ENCODER = partial(MLPEncoder, hidden=[16, 8], dropout=0.0, batch_norm=False)
DECODER = partial(MLPDecoder, hidden=[8, 16], dropout=0.0, batch_norm=False)
KINDS = ("autoencoder", "vae", "cvae")


def module(kind: str, *, size: int = 4, **options: Any) -> Any:
    torch.manual_seed(0)
    given: dict[str, Any] = {"encoder": ENCODER, "decoder": DECODER, "optimiser": ADAM}
    if kind != "autoencoder":
        given |= {"noise": 0.5, "annealing_epochs": 0, "free_bits": 0.0, "code": "mean"}
    if kind == "cvae":
        given |= {"reading": None, "condition_dropout": 0.0}
    classes = {"autoencoder": Autoencoder, "vae": VAE, "cvae": CVAE}
    return classes[kind](TASK, size, **{**given, **options})


def batch(size: int = 12) -> Batch:
    torch.manual_seed(1)
    return Batch(torch.randn(size, 6), torch.arange(size) % 4 - 1)  # every fourth unlabelled


def one_hot(labels: Tensor) -> Tensor:
    return torch.stack([(labels == c).float() for c in range(3)], dim=1)


def elbo_loss(model: Any, data: Batch, draws: Draws | None = None) -> Tensor:
    (phase,) = model.phases
    return phase.compute(data, draws or model.draw(data))[0]


def learn(model: Any, data: Batch, steps: int) -> None:
    (phase,), (optimiser,) = model.phases, model.configure_optimizers()
    for _ in range(steps):
        loss, _ = phase.compute(data, model.draw(data))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@pytest.mark.parametrize("kind", KINDS)
def test_its_one_phase_updates_every_parameter(kind: str) -> None:
    model = module(kind)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    learn(model, batch(), 3)
    assert [n for n, p in model.named_parameters() if torch.equal(before[n], p)] == []
    assert [phase.name for phase in model.phases] == [
        "reconstruction" if kind == "autoencoder" else "elbo"
    ]
    assert model.uses_unlabelled


# ---- losses


def test_autoencoder_loss_is_the_squared_error_summed_over_values() -> None:
    model, data = module("autoencoder"), batch()
    reconstruction = model.decode(model.codes(data), data.y)
    expected = ((reconstruction - data.x) ** 2).sum() / 12
    torch.testing.assert_close(model.reconstruction_loss(data, model.draw(data)), expected)


@pytest.mark.parametrize("kind", ["vae", "cvae"])
@pytest.mark.parametrize("noise", [0.5, 0.1, 2.0])
def test_loss_is_the_negative_evidence_lower_bound_up_to_a_constant(
    kind: str, noise: float
) -> None:
    model, data = module(kind, noise=noise), batch()
    draws = model.draw(data)
    condition = one_hot(data.y) if kind == "cvae" else torch.zeros(12, 0)
    mean, log_variance = model.posterior(data.x, condition)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    codes = posterior.mean + posterior.stddev * draws.epsilon
    likelihood = Normal(model.decode(codes, data.y), math.sqrt(noise))
    bound = likelihood.log_prob(data.x).sum(1) - kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    constant = 6 / 2 * math.log(2 * math.pi * noise)
    loss = elbo_loss(model, data, draws)
    torch.testing.assert_close(loss + constant, -bound.mean())
    if noise == 0.5:  # as the papers write it
        error = ((likelihood.mean - data.x) ** 2).sum(1)
        kl = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
        torch.testing.assert_close(loss, (error + kl).mean())


@pytest.mark.parametrize("kind", ["vae", "cvae"])
def test_loss_draws_no_random_numbers(kind: str) -> None:
    model, data = module(kind, condition_dropout=0.5) if kind == "cvae" else module(kind), batch()
    draws = model.draw(data)
    state = torch.get_rng_state()
    first = elbo_loss(model, data, draws)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(elbo_loss(model, data, draws), first)
    assert not torch.equal(elbo_loss(model, data), first)


def test_annealing_raises_the_weight_of_the_kl_term(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = module("vae", annealing_epochs=4), batch()
    kl_weights = []
    for epoch in (0, 1, 3, 4, 9):
        monkeypatch.setattr(VAE, "current_epoch", epoch)
        torch.manual_seed(2)
        outputs = model.autoencode(data, model.draw(data))
        assert module("vae").kl_weight == 1.0
        loss, sums = model.elbo_loss(data, outputs), model.observe(data, outputs)
        error, kl = (sums[f"train/{n}"] / 12 for n in ("reconstruction_loss", "kl"))
        torch.testing.assert_close(loss, error + outputs.kl_weight * kl)
        kl_weights.append(outputs.kl_weight)
    assert kl_weights == [0.0, 0.25, 0.75, 1.0, 1.0]


def test_free_bits_are_a_lower_bound_of_each_dimension() -> None:
    plain, data = module("vae"), batch()
    draws = plain.draw(data)
    mean, log_variance = plain.posterior(data.x, draws.condition)
    each = kl_to_standard_normal(mean, log_variance).mean(0).tolist()
    error = elbo_loss(plain, data, draws) - sum(each)
    for bits in (1e-9, sorted(each)[2] - 1e-6, 10.0):
        loss = elbo_loss(module("vae", free_bits=bits), data, draws)
        expected = sum(max(kl, bits) for kl in each)
        assert float(loss.detach() - error.detach()) == pytest.approx(expected, rel=1e-4)


def test_kl_term_below_the_free_bits_has_no_gradient() -> None:
    data = batch()
    free = module("vae", free_bits=10.0)
    draws = free.draw(data)
    without = module("vae")
    (
        elbo_loss(free, data, draws) + elbo_loss(without, data, replace(draws, kl_weight=0.0))
    ).backward()
    for name, parameter in free.named_parameters():
        torch.testing.assert_close(parameter.grad, without.get_parameter(name).grad)


# ---- a known optimum


class Plain(nn.Module):
    """An encoder without layers."""

    level = "utterance"

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.outputs = inputs

    def forward(self, x: Tensor, lengths: None = None) -> Tensor:
        return x


def gaussian_data(classes: int) -> Batch:
    """6-D data with two directions of high variance and one mean per class."""
    draw = torch.Generator().manual_seed(3)
    directions, _ = torch.linalg.qr(torch.randn(6, 6, generator=draw))
    deviations = torch.tensor([2.0, 1.2, 0.4, 0.4, 0.3, 0.3])
    x = torch.randn(600, 6, generator=draw) * deviations @ directions.T
    y = torch.arange(600) % classes
    return Batch(x + 2 * torch.randn(3, 6, generator=draw)[y], y)


def probabilistic_pca(centred: Tensor, size: int, noise: float) -> tuple[Tensor, float]:
    """Covariance and mean log-likelihood at the optimum for a given σ² (Tipping, Bishop 1999)."""
    inputs = centred.shape[1]
    covariance = centred.T @ centred / len(centred)
    values, vectors = torch.linalg.eigh(covariance)
    axes = vectors[:, -size:]
    assert (values[-size:] > noise).all()
    excess = values[-size:] - noise
    optimum = axes * excess @ axes.T + noise * torch.eye(inputs).double()
    fit = torch.linalg.solve(optimum, covariance).trace()
    likelihood = -0.5 * (inputs * math.log(2 * math.pi) + torch.logdet(optimum) + fit)
    return optimum, float(likelihood)


@pytest.mark.parametrize(("kind", "noise"), [("vae", 0.5), ("vae", 0.1), ("cvae", 0.5)])
def test_a_linear_vae_on_gaussian_data_is_probabilistic_pca(kind: str, noise: float) -> None:
    """The bound, including its constant, reaches the optimal likelihood; a CVAE's per class."""
    data = gaussian_data(3 if kind == "cvae" else 1)
    means = torch.stack([data.x[data.y == c].mean(0) for c in data.y.unique()])
    covariance, likelihood = probabilistic_pca((data.x - means[data.y]).double(), 2, noise)
    model = module(kind, size=2, encoder=Plain, decoder=nn.Linear, noise=noise)
    for rate, steps in ((0.05, 800), (0.005, 300)):
        model.optimiser = partial(torch.optim.Adam, lr=rate)
        learn(model, data, steps)
    constant = 6 / 2 * math.log(2 * math.pi * noise)
    with torch.no_grad():
        losses = torch.stack([elbo_loss(model, data) for _ in range(300)])
    bound = -(float(losses.mean()) + constant)
    assert bound < likelihood + 0.01  # a lower bound, but for the draws
    assert bound == pytest.approx(likelihood, rel=0.02)
    weights = model.decoder.weight[:, :2].detach().double()
    actual = weights @ weights.T + noise * torch.eye(6)
    assert float((actual - covariance).norm() / covariance.norm()) < 0.15


# ---- as representations


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_deterministic_and_have_the_stated_width(kind: str) -> None:
    model, data = module(kind).eval(), batch()
    assert torch.equal(model.codes(data), model.codes(data))
    assert model.codes(data).shape == (12, model.width) == (12, 4)
    assert model.decode(model.codes(data), data.y).shape == data.x.shape


@pytest.mark.parametrize("kind", ["vae", "cvae"])
def test_code_is_the_posterior_s_mean_or_mean_and_variance(kind: str) -> None:
    data = batch()
    mean, both = module(kind).codes(data), module(kind, code="mean_and_variance")
    assert both.codes(data).shape == (12, both.width) == (12, 8)
    assert torch.equal(both.codes(data)[:, :4], mean)
    condition = torch.zeros(12, 3 if kind == "cvae" else 0)
    _, log_variance = both.posterior(data.x, condition)
    torch.testing.assert_close(both.codes(data)[:, 4:], log_variance.exp())
    learn(both, data, 1)  # the loss does not depend on the option


@pytest.mark.parametrize("kind", ["vae", "cvae"])
def test_samples_are_reproducible_and_of_the_prior(kind: str) -> None:
    model, labels = module(kind).eval(), torch.arange(20000) % 3

    def sample(seed: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(seed)
        codes = model.draw_codes(labels)
        return codes, model.decode(codes, labels)

    codes, features = sample(5)
    assert codes.shape == (20000, 4)
    assert features.shape == (20000, 6)
    for left, right in zip((codes, features), sample(5), strict=True):
        assert torch.equal(left, right)
    assert not torch.equal(codes, sample(6)[0])
    torch.testing.assert_close(torch.cov(codes.T), torch.eye(4), atol=0.05, rtol=0)
    torch.testing.assert_close(codes.mean(0), torch.zeros(4), atol=0.05, rtol=0)


def test_sampling_an_autoencoder_raises_an_error() -> None:
    with pytest.raises(UserError, match="no prior to sample codes from"):
        module("autoencoder").draw_codes(torch.zeros(3).long())


# ---- the use of labels


@pytest.mark.parametrize("training", [True, False])
def test_codes_do_not_depend_on_labels(training: bool) -> None:
    model, data = module("cvae").train(training), batch()
    other = data._replace(y=data.y.flip(0))
    assert torch.equal(model.codes(data), model.codes(other))
    for label in range(3):
        assert torch.equal(model.codes_under(data, label), model.codes_under(other, label))
    unlabelled = model.codes_under(data, UNLABELLED)
    assert torch.equal(model.codes(data), unlabelled)


def test_loss_in_evaluation_does_not_depend_on_labels() -> None:
    model, data = module("cvae"), batch()
    unlabelled = data._replace(y=torch.full((12,), UNLABELLED))

    def loss(of: Batch) -> Tensor:
        torch.manual_seed(2)
        return elbo_loss(model, of)

    assert not torch.equal(loss(data), loss(unlabelled))
    model.eval()
    assert torch.equal(loss(data), loss(unlabelled))


def test_codes_under_a_label_use_its_one_hot_condition() -> None:
    model, data = module("cvae"), batch()
    for label in range(3):
        mean, _ = model.posterior(data.x, one_hot(torch.full((12,), label)))
        assert torch.equal(model.codes_under(data, label), mean)
    apart = torch.stack([model.codes_under(data, label) for label in range(3)])
    assert (apart[0] != apart[1]).all(dim=1).all()
    chosen = model.codes_under(data, data.y.clamp(min=0))
    torch.testing.assert_close(chosen, apart[data.y.clamp(min=0), torch.arange(12)])


def test_conditioned_decoder_depends_on_the_class() -> None:
    model, labels = module("cvae"), torch.tensor([0, 1, 2, UNLABELLED])
    code = torch.randn(1, 4).expand(4, 4)
    decoded = model.decode(code, labels)
    assert len({tuple(row.tolist()) for row in decoded}) == 4
    expected = model.decoder(torch.cat([code, one_hot(labels)], dim=1))
    assert torch.equal(decoded, expected)


def test_condition_of_unlabelled_items_is_zero() -> None:
    assert torch.equal(module("cvae").condition(batch().y), one_hot(batch().y))
    assert not module("cvae").condition(torch.tensor([UNLABELLED])).any()


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_condition_dropout_removes_whole_labels(probability: float) -> None:
    model = module("cvae", condition_dropout=probability)
    labels = torch.arange(4000) % 3
    condition = model.draw_condition(Batch(torch.zeros(4000, 6), labels))
    kept = condition.any(dim=1)
    assert torch.equal(condition[kept], one_hot(labels)[kept])
    assert float(kept.float().mean()) == pytest.approx(1 - probability, abs=0.03)
    if probability == 1.0:
        assert not kept.any()


# ---- the record


def epoch(model: Any, data: Batch, steps: int) -> dict[str, float]:
    """Train one epoch as Lightning does, and return its row of the record."""
    optimisers = model.configure_optimizers()
    model.manual_backward = Tensor.backward
    model.optimizers = lambda: optimisers
    model.on_train_start()
    model.on_train_epoch_start()
    for step in range(steps):
        model.training_step(data, step)
    model.end_epoch()
    return model.record[-1]


@pytest.mark.parametrize("kind", ["vae", "cvae"])
def test_record_has_both_terms_and_the_active_units(kind: str) -> None:
    data = batch()
    torch.manual_seed(4)
    model = module(kind, noise=0.5)
    row = epoch(model, data, 1)
    terms = ("elbo_loss", "reconstruction_loss", "kl", "active_units")
    assert list(row) == ["epoch", *(f"train/{term}" for term in terms)]
    together = row["train/reconstruction_loss"] + row["train/kl"]
    assert row["train/elbo_loss"] == pytest.approx(together, rel=1e-5)


def test_unit_is_active_if_its_mean_varies_over_the_data() -> None:
    model, data = module("vae", optimiser=partial(torch.optim.SGD, lr=0.0)), batch()
    codes = model.codes(data).detach()
    # The variances of two units are above the threshold, those of the others below it.
    variances = torch.tensor([0.02, 0.005, 0.5, 0.0])
    scale = (variances / codes.var(0, correction=0)).sqrt()
    with torch.no_grad():
        model.mean.weight.mul_(scale[:, None])
        model.mean.bias.fill_(7.0)  # the mean over the data has no effect
    assert epoch(model, data, 3)["train/active_units"] == 2


def test_posterior_collapse_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model, data = module("vae"), batch()
    with torch.no_grad():
        model.mean.weight.zero_()
    by_epoch = []
    for _ in range(5):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert epoch(model, data, 1)["train/active_units"] == 0
        by_epoch.append([record.message for record in caplog.records])
    assert [len(messages) for messages in by_epoch] == [0, 0, 1, 0, 0]
    assert "posterior collapse: 0 of 4 units of the code are active" in by_epoch[2][0]


def test_late_use_of_the_code_is_no_posterior_collapse(caplog: pytest.LogCaptureFixture) -> None:
    model, data = module("vae", optimiser=partial(torch.optim.Adam, lr=1e-2)), gaussian_data(1)
    with torch.no_grad():
        model.mean.weight.zero_()
    with caplog.at_level(logging.WARNING):
        active = [epoch(model, data, steps)["train/active_units"] for steps in (1, 1, 200, 1)]
    assert active[:2] == [0, 0]
    assert active[3] >= 1
    assert not caplog.records


@pytest.mark.parametrize(
    ("kind", "option", "message"),
    [
        ("vae", {"noise": 0.0}, "noise=0.0: must be a variance above 0"),
        ("cvae", {"condition_dropout": 1.5}, "condition_dropout=1.5: must be a probability"),
    ],
)
def test_impossible_options_raise_errors(kind: str, option: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        module(kind, **option)
