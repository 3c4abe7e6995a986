"""Networks: plain `nn.Module`s without losses and without Lightning."""

from ser.networks.conv import ConvEncoder
from ser.networks.mlp import MLPEncoder
from ser.networks.recurrent import LSTMEncoder
from ser.networks.segment import Pyramid

Encoder = MLPEncoder | Pyramid | ConvEncoder | LSTMEncoder
