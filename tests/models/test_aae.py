"""Each phase updates its own modules, in the paper's order; codes are matched to priors."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from ser.config import CONF, build
from ser.data.batches import UNLABELLED, Batch, Task
from ser.errors import UserError
from ser.models.aae import AAE, AdversarialBatch, coder
from ser.models.priors import Categorical, Gaussian, GaussianMixture
from ser.networks.conv import ConvDecoder, ConvEncoder
from ser.networks.mlp import Discriminator, MLPDecoder, MLPEncoder

PHASES = ["reconstruction", "discriminator", "generator", "classification"]
# By phase, which parameters it changes, by the beginnings of their names.
CHANGED = {
    "reconstruction": ("encoder.", "latents.y.head.", "latents.z.head.", "decoder."),
    "discriminator": ("latents.y.discriminator.", "latents.z.discriminator."),
    "generator": ("encoder.", "latents.y.head.", "latents.z.head."),
    "classification": ("encoder.", "latents.y.head."),
}
LENGTHS = torch.tensor([40, 3, 17, 64, 5, 30, 1, 64])
ADAM = partial(torch.optim.Adam, lr=1e-3, fused=True)


def networks(level: str, batch_norm: bool, dropout: float = 0.5) -> dict[str, Callable]:
    if level == "utterance":
        encoder: Any = partial(MLPEncoder, hidden=[16, 16], dropout=dropout, batch_norm=batch_norm)
        decoder: Any = partial(MLPDecoder, hidden=[16, 16], dropout=0.0, batch_norm=batch_norm)
    else:
        shared: dict[str, Any] = {"kernel": 4, "hidden": [16, 16], "batch_norm": batch_norm}
        encoder = partial(ConvEncoder, channels=[8, 8, 8, 8], last=16, dropout=dropout, **shared)
        decoder = partial(ConvDecoder, first=16, channels=[8, 8, 8, 8], **shared)
    return {"encoder": encoder, "decoder": decoder}


def aae(level: str = "utterance", *, dropout: float = 0.5, **options: Any) -> AAE:
    torch.manual_seed(0)
    defaults: dict[str, Any] = {
        **networks(level, options.get("batch_norm", True), dropout),
        "latents": {
            "y": {"size": None, "prior": Categorical(), "condition": None},
            "z": {"size": 4, "prior": Gaussian(), "condition": None},
        },
        "classifier": "y",
        "discriminator": partial(Discriminator, hidden=[16, 16], dropout=dropout),
        "discriminator_rate": 0.1,
        "discriminator_moves_encoder": False,
        "batch_norm": True,
        "phases": PHASES,
        "optimiser": ADAM,
    }
    return AAE(Task(5, 3, None, {"a": [0, 1], "b": [2, 3, 4]}), **{**defaults, **options})


def batch(level: str = "utterance", padding: int = 0) -> Batch:
    torch.manual_seed(1)
    x, y = torch.randn(8, 64, 5), torch.arange(8) % 3
    if level == "utterance":
        return Batch(x[:, 0], y)
    x = x * (torch.arange(64) < LENGTHS[:, None])[..., None]
    return Batch(nn.functional.pad(x, (0, 0, 0, padding)), y, LENGTHS)


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def run_phases(model: AAE, data: Batch, optimisers: list[torch.optim.Optimizer]) -> Iterator[str]:
    """Run the phases as `training_step` does, and yield the name of each one afterwards."""
    shared = model.draw(data)
    for phase, optimiser in zip(model.phases, optimisers, strict=True):
        loss, shared = phase.compute(data, shared)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield phase.name


def steps(
    model: AAE, data: Batch, optimisers: list[torch.optim.Optimizer] | None = None
) -> list[tuple[str, set[str]]]:
    """Run the phases, and return the names of the parameters that each one changed."""
    changed, before = [], parameters(model)
    for name in run_phases(model, data, optimisers or model.configure_optimizers()):
        after = parameters(model)
        changed.append((name, {n for n in before if not torch.equal(before[n], after[n])}))
        before = after
    return changed


@pytest.mark.parametrize("level", ["utterance", "frame"])
def test_each_phase_updates_its_own_parameters_only(level: str) -> None:
    """Batch normalisation's running statistics aside: every forward pass updates those."""
    model = aae(level)
    named = {id(p): name for name, p in model.named_parameters()}
    for phase in model.phases:
        expected = {n for n in named.values() if n.startswith(CHANGED[phase.name])}
        assert {named[id(p)] for p in phase.parameters()} == expected
    optimisers = model.configure_optimizers()
    for _ in range(2):  # the second time there are gradients of other phases and Adam's moments
        for name, changed in steps(model, batch(level), optimisers):
            expected = {n for n, _ in model.named_parameters() if n.startswith(CHANGED[name])}
            assert changed - expected == set()
            # A bias before a normalisation has no effect, and may not change.
            assert {n for n in expected - changed if not n.endswith("bias")} == set()


@pytest.mark.parametrize("level", ["utterance", "frame"])
def test_training_step_equals_manual_steps(level: str, tmp_path) -> None:
    """`training_step` changes the parameters as the phases by hand do, number for number."""
    left, right = aae(level), aae(level)
    data = batch(level)
    optimisers = left.configure_optimizers()
    left.manual_backward = Tensor.backward  # type: ignore[method-assign]
    left.optimizers = lambda: optimisers  # type: ignore[method-assign,assignment]
    left.on_train_start()
    left.on_train_epoch_start()
    torch.manual_seed(5)
    left.training_step(data, 0)
    torch.manual_seed(5)
    steps(right, data)
    for name, value in parameters(right).items():
        assert torch.equal(left.get_parameter(name), value), name


def test_phases_are_in_the_paper_s_order_and_can_be_selected() -> None:
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        phases = [
            list(compose("train", ["model=aae", *more]).model.phases)
            for more in ([], ["model.phases=[reconstruction,classification]"])
        ]
    assert [phase.name for phase in aae(phases=phases[0]).phases] == PHASES
    without = aae(phases=phases[1])
    assert [name for name, _ in steps(without, batch())] == ["reconstruction", "classification"]
    assert all("discriminator" not in n for _, changed in steps(without, batch()) for n in changed)


def test_discriminators_have_a_tenth_of_the_learning_rate() -> None:
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        cfg = compose("train", ["model=aae"])
    model: AAE = build(cfg.model)(Task(5, 3, None, {}))
    rates = [o.param_groups[0]["lr"] for o in model.configure_optimizers()]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-3, 1e-3])


def test_discriminator_and_generator_share_one_forward_pass() -> None:
    model = aae()
    drawn = model.draw(batch())
    adversarial = model.discriminate(batch(), drawn)
    assert set(adversarial.fake) == {"y", "z"}
    assert adversarial.real is drawn.real
    with mock.patch.object(AAE, "encode", side_effect=AssertionError("encoded again")):
        model.discriminator_loss(batch(), adversarial)
        model.generator_loss(batch(), adversarial).backward()
    assert all(p.grad is not None for p in model.encoder.parameters())


def test_generator_step_raises_logits_of_codes() -> None:
    """A step of the generator phase raises the discriminators' logits of its codes."""
    model = aae(dropout=0.0, phases=["discriminator", "generator"])
    data = batch()
    for _ in range(20):
        steps(model, data)

    def mean_logits() -> Tensor:
        codes = model.encode(data)
        return torch.stack([model.latents[n].discriminator(c).mean() for n, c in codes.items()])

    optimiser = model.configure_optimizers()[1]
    adversarial = model.discriminate(data, model.draw(data))
    before = mean_logits().sum()
    loss = model.generator_loss(data, adversarial)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    assert mean_logits().sum() > before


def test_codes_are_matched_to_their_priors() -> None:
    """Without normalised heads, codes start far from N(0, I) and from the uniform distribution."""
    model = aae(
        dropout=0.0,
        batch_norm=False,
        phases=["discriminator", "generator"],
        discriminator_rate=1.0,
        optimiser=partial(torch.optim.Adam, lr=5e-3, betas=(0.5, 0.999)),
        latents={
            "y": {"size": None, "prior": Categorical(), "condition": None},
            "z": {"size": 2, "prior": Gaussian(), "condition": None},
        },
    )
    with torch.no_grad():
        model.get_parameter("latents.z.head.0.bias").copy_(torch.tensor([3.0, -2.0]))
        model.get_parameter("latents.y.head.0.bias").copy_(torch.tensor([3.0, 0.0, 0.0]))
    x = torch.randn(512, 5)

    def statistics() -> dict[str, float]:
        with torch.no_grad():
            codes = model.encode(Batch(x, torch.zeros(512)))
        means = {f"{n}/mean": c.mean(0) for n, c in codes.items()}
        means["z/second_moment"] = codes["z"].T @ codes["z"] / 512
        return model.summary(means)

    before = statistics()
    optimisers = model.configure_optimizers()
    later = []
    for step in range(500):
        list(run_phases(model, Batch(x[torch.randperm(512)[:64]], torch.zeros(64)), optimisers))
        if step >= 300 and step % 10 == 0:
            later.append(statistics())
    # Adversarial training oscillates, with a phase that differs between processors.
    after = {name: float(np.median([each[name] for each in later])) for name in before}
    assert before["z/mean_rms"] > 2
    assert after["z/mean_rms"] < 0.4 * before["z/mean_rms"]
    assert 0.2 < after["z/variance"] < 2.0
    assert before["y/largest"] > 0.8
    assert after["y/largest"] < 0.6
    assert after["y/uniformity"] > before["y/uniformity"] + 0.2


@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_no_loss_output_or_statistic(training: bool) -> None:
    results = []
    for padding in (0, 1, 300):
        model, data = aae("frame", dropout=0.0).train(training), batch("frame", padding)
        torch.manual_seed(2)
        shared, losses = model.draw(data), []
        logits, reconstruction = model(data), model.reconstruct(data)[:, :64]
        for phase in model.phases:
            loss, shared = phase.compute(data, shared)
            losses.append(loss)
        buffers = [b.double() for b in model.buffers()]
        results.append([logits, reconstruction, torch.stack(losses), *buffers])
    for others in results[1:]:
        for left, right in zip(results[0], others, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_evaluation_does_not_depend_on_other_items_of_a_batch() -> None:
    model, data = aae("frame").eval(), batch("frame")
    assert data.lengths is not None
    for i in (1, 2, 6):
        length = data.lengths[i]
        alone = Batch(data.x[i : i + 1, :length], data.y[i : i + 1], data.lengths[i : i + 1])
        for function in (model, model.reconstruct):
            left, right = function(alone)[0], function(data)[i]
            right = right[:length] if function == model.reconstruct else right
            torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_probabilities_of_an_utterance_are_means_over_its_windows() -> None:
    model, data = aae("frame").eval(), batch("frame")
    windows = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3])
    actual = model.predictions(Batch(data.x, data.y[:4], data.lengths, windows))
    each = model(data).softmax(1)
    expected = [each[:3].mean(0), each[3], each[4:6].mean(0), each[6:].mean(0)]
    torch.testing.assert_close(actual, torch.stack(expected))


@pytest.mark.parametrize("level", ["utterance", "frame"])
def test_unlabelled_utterances_train_all_phases_but_classification(level: str) -> None:
    data = batch(level)
    none = data._replace(y=torch.full((8,), UNLABELLED))
    for name, changed in steps(aae(level), none):
        assert bool(changed) == (name != "classification")
    assert aae(level).classification_loss(none, AdversarialBatch({})) == 0  # and not NaN
    some = data._replace(y=torch.where(torch.arange(8) < 5, data.y, UNLABELLED))
    model = aae(level).eval()
    first = Batch(*(part[:5] for part in data if part is not None))
    loss = model.classification_loss(some, model.draw(some))
    torch.testing.assert_close(loss, model.classification_loss(first, model.draw(first)))
    everything = model.reconstruction_loss(some, model.draw(some))
    torch.testing.assert_close(everything, model.reconstruction_loss(data, model.draw(data)))


def test_classification_loss_is_weighted_by_class() -> None:
    weights, data = torch.tensor([1.0, 5.0, 0.5]), batch()
    model = aae().eval()
    weighted = AAE(
        Task(5, 3, weights, {}),
        **networks("utterance", True),
        latents={"y": {"size": None, "prior": Categorical(), "condition": None}},
        classifier="y",
        discriminator=partial(Discriminator, hidden=[4], dropout=0.0),
        discriminator_rate=0.1,
        discriminator_moves_encoder=False,
        batch_norm=True,
        phases=PHASES,
        optimiser=ADAM,
    ).eval()
    logits = weighted(data)
    expected = nn.functional.cross_entropy(logits, data.y, weights)
    torch.testing.assert_close(weighted.classification_loss(data, weighted.draw(data)), expected)
    plain = model.classification_loss(data, model.draw(data))
    torch.testing.assert_close(plain, nn.functional.cross_entropy(model(data), data.y))


def test_record_has_r2_by_kind_of_feature() -> None:
    """R² is 1 for a perfect reconstruction, and 0 for the mean, whatever is padded."""
    model, data = aae("frame").eval(), batch("frame")
    inside = torch.arange(64) < LENGTHS[:, None]
    mean = data.x[inside].mean(0) * inside[..., None]
    for reconstruction, expected in ((data.x, 1.0), (mean, 0.0)):
        patched = copy.copy(model)
        patched.reconstruct = lambda batch, value=reconstruction: value  # type: ignore[method-assign,misc]
        patched.on_validation_epoch_start()
        patched.validation_step(data, 0)
        patched.on_train_epoch_start()
        patched.record = []
        patched.end_epoch()
        r2 = {name: value for name, value in patched.record[-1].items() if "r2" in name}
        assert set(r2) == {"val/r2", "val/r2_a", "val/r2_b"}
        assert list(r2.values()) == pytest.approx([expected] * 3, abs=1e-5)


def test_impossible_phases_and_classifiers_raise_errors() -> None:
    with pytest.raises(UserError, match="generator needs discriminator before it"):
        aae(phases=["generator", "discriminator"])
    with pytest.raises(UserError, match="classifier=emotion: one of y, z"):
        aae(classifier="emotion")


def test_each_problem_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    means = {f"train/z_{side}_accuracy": torch.tensor(1.0) for side in ("real", "fake")}
    model = aae()
    for _ in range(2):
        model.summary(means)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert "latent z: the discriminator dominates" in messages[0]


# ---- one latent, matched to a mixture: sahu2017


def coder_of(**options: Any) -> AAE:
    torch.manual_seed(0)
    defaults: dict[str, Any] = {
        **networks("utterance", batch_norm=False, dropout=0.0),
        "prior": GaussianMixture(5.0, 1.0, None),
        "condition": "label",
        "discriminator": partial(Discriminator, hidden=[16, 16], dropout=0.0),
        "discriminator_rate": 1.0,
        "discriminator_moves_encoder": False,
        "batch_norm": False,
        "phases": PHASES[:3],
        "optimiser": ADAM,
    }
    return coder(Task(5, 3, None, {}), 2, **{**defaults, **options})


def test_conditioned_discriminator_depends_on_the_class() -> None:
    model, data = coder_of(), batch()
    (latent,) = model.latents.values()
    codes = torch.randn(8, 2)
    own, other = (latent.discriminate(codes, y) for y in (data.y, (data.y + 1) % 3))
    assert not torch.equal(own, other)
    # Unlabelled items have no class; indexing with -1 would give the last one.
    unlabelled = latent.discriminate(codes, torch.full((8,), UNLABELLED))
    for label in range(3):
        of_label = latent.discriminate(codes, torch.full((8,), label))
        assert not torch.equal(unlabelled, of_label)
    plain = next(iter(coder_of(condition=None).latents.values()))
    own, other = (plain.discriminate(codes, y) for y in (data.y, (data.y + 1) % 3))
    assert torch.equal(own, other)


def test_real_codes_are_of_the_batch_s_classes_only_if_conditioned() -> None:
    labels = torch.arange(3000) % 3
    for condition, expected in (("label", 1.0), (None, 1 / 3)):
        model = coder_of(condition=condition)
        drawn = model.draw_codes(labels)
        assert model.components is not None
        nearest = torch.cdist(drawn, model.components[0]).argmin(1)
        assert (nearest == labels).float().mean() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("to_the_letter", [False, True])
def test_discriminator_phase_updates_encoder_only_if_configured(
    to_the_letter: bool,
) -> None:
    model, data = coder_of(discriminator_moves_encoder=to_the_letter), batch()
    before, shared = parameters(model), model.draw(data)
    for phase, optimiser in zip(model.phases, model.configure_optimizers(), strict=True):
        loss, shared = phase.compute(data, shared)
        optimiser.zero_grad()
        loss.backward()
        if phase.name == "discriminator":
            optimiser.step()
    after = parameters(model)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert any(".discriminator." in name for name in moved)
    assert any(name.startswith("encoder.") for name in moved) == to_the_letter
    assert not any(name.startswith("decoder.") for name in moved)


def test_classification_phase_needs_a_classifier() -> None:
    with pytest.raises(UserError, match="classification needs a classifier"):
        coder_of(phases=PHASES)
