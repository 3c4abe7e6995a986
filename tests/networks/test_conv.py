"""Padding changes no output and no statistic; the results are those of torch's layers."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ser.networks.conv import ConvDecoder, ConvEncoder, MaskedBatchNorm, mask

LENGTHS = torch.tensor([1, 3, 4, 5, 17, 40])


def encoder(batch_norm: bool = True) -> ConvEncoder:
    torch.manual_seed(0)
    return ConvEncoder(
        3,
        channels=[4, 5, 6, 7],
        last=8,
        kernel=4,
        hidden=[9, 10],
        dropout=0.0,
        batch_norm=batch_norm,
    ).double()


def decoder(batch_norm: bool = True) -> ConvDecoder:
    torch.manual_seed(0)
    return ConvDecoder(
        10,
        3,
        hidden=[9, 9],
        first=8,
        channels=[7, 6, 5, 4],
        kernel=4,
        batch_norm=batch_norm,
    ).double()


def frames(lengths: Tensor, longest: int) -> Tensor:
    """(B, T, 3) noise about 1, zero beyond each length; the same for any T."""
    torch.manual_seed(1)
    x = 1 + torch.randn(len(lengths), 1024, 3).double()
    return x[:, :longest] * mask(lengths, longest)


def statistics(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def assert_equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


def test_masked_batch_norm_equals_batch_norm_without_padding() -> None:
    torch.manual_seed(0)
    masked, plain = MaskedBatchNorm(3).double(), nn.BatchNorm1d(3).double()
    for module in (masked, plain):
        nn.init.uniform_(module.weight, generator=torch.Generator().manual_seed(2))
        nn.init.uniform_(module.bias, generator=torch.Generator().manual_seed(3))
    x = frames(torch.full((6,), 40), 40)
    inside = mask(torch.full((6,), 40), 40)
    for _ in range(2):  # in training, then with the statistics that training left
        taken = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [masked(taken[0], inside), plain(taken[1].transpose(1, 2)).transpose(1, 2)]
        assert_equal(*outputs)
        for output in outputs:
            (output * torch.linspace(-1, 1, 40)[:, None]).square().sum().backward()
        for left, right in ((taken[0], taken[1]), (masked.weight, plain.weight)):
            assert left.grad is not None
            assert right.grad is not None
            assert_equal(left.grad, right.grad)
        for name, buffer in masked.named_buffers():
            assert_equal(buffer, plain.get_buffer(name))
        masked.eval(), plain.eval()


def test_masked_batch_norm_ignores_padding_in_statistics() -> None:
    norm = MaskedBatchNorm(3, momentum=1.0).double()
    x, inside = frames(LENGTHS, 40), mask(LENGTHS, 40)
    rows = x[inside[..., 0]]
    out = norm(x + 100 * ~inside, inside)  # whatever lies in the padding
    assert_equal(norm.get_buffer("running_mean"), rows.mean(0))
    assert_equal(norm.get_buffer("running_var"), rows.var(0))  # unbiased, as torch's own
    assert_equal(out[inside[..., 0]], (rows - rows.mean(0)) / (rows.var(0, False) + 1e-5).sqrt())
    assert not out[~inside[..., 0]].any()


def test_masked_batch_norm_without_selecting_rows_is_the_same() -> None:
    """As on a GPU, where the number of rows is not known."""
    results = []
    for method in ("forward", "by_mask"):
        norm = MaskedBatchNorm(3).double()
        nn.init.uniform_(norm.weight, generator=torch.Generator().manual_seed(2))
        x = frames(LENGTHS, 64).requires_grad_()
        inside = mask(LENGTHS, 64)
        for _ in range(2):
            out = getattr(norm, method)(x + 100 * ~inside, inside)
        (out * torch.linspace(-1, 1, 64)[:, None]).square().sum().backward()
        gradients = [x.grad, norm.weight.grad, norm.bias.grad]
        results.append([out, *gradients, *statistics(norm).values()])
    for actual, expected in zip(*results, strict=True):
        assert actual is not None
        assert_equal(actual, expected)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_size_of_the_decoder_changes_no_frame_or_statistic(batch_norm: bool) -> None:
    codes = torch.randn(len(LENGTHS), 10, generator=torch.Generator().manual_seed(1)).double()
    results = []
    for size in (40, 64, 333):
        network = decoder(batch_norm)
        decoded = network(codes, LENGTHS, size)
        assert decoded.shape == (len(LENGTHS), size, 3)
        assert not decoded[:, 40:].any()
        results.append([decoded[:, :40], *statistics(network).values()])
    for others in results[1:]:
        for actual, expected in zip(others, results[0], strict=True):
            assert_equal(actual, expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_padding_changes_no_code_gradient_or_statistic(training: bool, batch_norm: bool) -> None:
    results = []
    for longest in (40, 41, 64, 333, 1024):
        network = encoder(batch_norm).train(training)
        codes = network(frames(LENGTHS, longest), LENGTHS)
        codes.square().sum().backward()
        gradients = torch.cat(
            [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        )
        results.append((codes, gradients, statistics(network)))
    codes, gradients, buffers = results[0]
    for others in results[1:]:
        assert_equal(others[0], codes)
        assert_equal(others[1], gradients)
        for name, buffer in buffers.items():
            assert_equal(others[2][name], buffer)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_codes_do_not_depend_on_other_items_of_a_batch(batch_norm: bool) -> None:
    coder, back = encoder(batch_norm).eval(), decoder(batch_norm).eval()
    together = coder(frames(LENGTHS, 40), LENGTHS)
    decoded = back(together, LENGTHS, 40)
    for i, length in enumerate(LENGTHS):
        x = frames(LENGTHS, 40)[i : i + 1, :length]
        alone = coder(x, LENGTHS[i : i + 1])
        assert_equal(alone[0], together[i])
        assert_equal(back(alone, LENGTHS[i : i + 1], int(length))[0], decoded[i, :length])


def test_every_length_from_1_to_1024_is_encoded_and_decoded() -> None:
    coder, back = encoder().eval(), decoder().eval()
    lengths = torch.arange(1, 1025)
    with torch.inference_mode():
        for some in lengths.split(128):
            codes = coder(frames(some, int(some[-1])), some)
            decoded = back(codes, some, int(some[-1]))
            assert codes.isfinite().all()
            assert decoded.shape == (128, some[-1], 3)
            beyond = ~mask(some, int(some[-1]))[..., 0]
            assert not decoded[beyond].any()
            # Nothing within is left out: normalised outputs are hardly ever exactly zero.
            assert (decoded[~beyond] != 0).all()


def test_last_frame_changes_the_code_at_every_length() -> None:
    coder = encoder(batch_norm=False).eval()
    for length in (1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 255, 257, 1023, 1024):
        x, lengths = frames(torch.tensor([length]), length), torch.tensor([length])
        changed = x.clone()
        changed[0, -1] += 100
        assert not torch.allclose(coder(x, lengths), coder(changed, lengths))


def test_encoder_equals_the_paper_s_layers_of_torch() -> None:
    """Nothing padded, no batch normalisation: plain convolutions, ReLUs and ceil-mode pools."""
    network = encoder(batch_norm=False)
    x = frames(torch.tensor([77, 77]), 77)
    expected = x.transpose(1, 2)
    for layer in network.layers:
        convolution = layer.get_submodule("convolution")
        assert isinstance(convolution, nn.Conv1d)
        padded = functional.pad(expected, (1, 2))
        expected = functional.relu(functional.conv1d(padded, convolution.weight, convolution.bias))
        expected = functional.max_pool1d(expected, 4, ceil_mode=True)
    expected = functional.pad(expected, (0, 4 - expected.shape[2]))
    expected = network.dense(network.coarse(expected))
    actual = network(x, torch.tensor([77, 77]))
    assert_equal(actual, expected)
    parameters = list(network.parameters())
    gradients = [torch.autograd.grad(y.square().sum(), parameters) for y in (actual, expected)]
    for pair in zip(*gradients, strict=True):
        assert_equal(*pair)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_what_a_gpu_computes_is_the_same(batch_norm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for on_gpu in (False, True):
        networks = nn.ModuleList([encoder(batch_norm), decoder(batch_norm)])
        x = frames(LENGTHS, 64).requires_grad_()
        with monkeypatch.context() as patch:
            if on_gpu:  # by name only
                patch.setattr(Tensor, "is_cuda", property(lambda tensor: True))
            codes = networks[0](x, LENGTHS)
            decoded = networks[1](codes, LENGTHS, 64)
        (decoded.square().sum() + codes.sum()).backward()
        gradients = [parameter.grad for parameter in networks.parameters()]
        results.append([codes, decoded, x.grad, *gradients, *statistics(networks).values()])
    for actual, expected in zip(*results, strict=True):
        assert actual is not None
        assert_equal(actual, expected)
