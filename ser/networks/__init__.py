"""Networks: plain `nn.Module`s without losses and without Lightning."""

from ser.networks.conv import ConvEncoder
from ser.networks.layer_sum import LayerSum
from ser.networks.mlp import MLPEncoder
from ser.networks.recurrent import LSTMEncoder
from ser.networks.segment import Pyramid

Encoder = MLPEncoder | LayerSum | Pyramid | ConvEncoder | LSTMEncoder
