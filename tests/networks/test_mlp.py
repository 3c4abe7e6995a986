import pytest
import torch
from torch import nn

from ser.networks.mlp import Discriminator, MLPDecoder, MLPEncoder, dense


def kinds(network: nn.Module) -> list[str]:
    return [type(module).__name__ for module in network.modules() if not list(module.children())]


def test_layers_are_normalised_before_relu_with_dropout_between() -> None:
    layer = ["Linear", "BatchNorm1d", "ReLU"]
    assert kinds(dense(3, [4, 5], dropout=0.5, batch_norm=True)) == [*layer, "Dropout", *layer]
    assert kinds(dense(3, [4, 5], dropout=0.0, batch_norm=False)) == ["Linear", "ReLU"] * 2


def test_widths() -> None:
    encoder = MLPEncoder(6, hidden=[5, 4], dropout=0.5, batch_norm=True)
    decoder = MLPDecoder(4, 6, hidden=[5, 5], dropout=0.0, batch_norm=True)
    assert encoder.outputs == 4
    assert encoder(torch.randn(3, 6)).shape == (3, 4)
    assert decoder(torch.randn(3, 4)).shape == (3, 6)


def test_every_decoder_layer_is_normalised_including_the_output() -> None:
    assert (
        kinds(MLPDecoder(4, 6, hidden=[5, 5], dropout=0.0, batch_norm=True)).count("BatchNorm1d")
        == 3
    )
    assert (
        kinds(MLPDecoder(4, 6, hidden=[5, 5], dropout=0.0, batch_norm=False)).count("BatchNorm1d")
        == 0
    )
    # A reconstruction may be negative: nothing rectifies it.
    assert (
        MLPDecoder(4, 6, hidden=[5, 5], dropout=0.0, batch_norm=True)(torch.randn(9, 4)) < 0
    ).any()


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_discriminator_has_one_logit_per_code_and_dropout_after_each_layer(dropout: float) -> None:
    discriminator = Discriminator(4, hidden=[32, 32], dropout=dropout)
    codes = torch.randn(7, 4)
    assert discriminator(codes).shape == (7,)
    assert torch.equal(discriminator(codes), discriminator(codes)) == (dropout == 0.0)
    if dropout:
        dropped = [i for i, kind in enumerate(kinds(discriminator)) if kind == "Dropout"]
        relus = [i for i, kind in enumerate(kinds(discriminator)) if kind == "ReLU"]
        assert dropped == [i + 1 for i in relus]
