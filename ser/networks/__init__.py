"""Plain networks: no losses, no Lightning."""

from ser.networks.conv import ConvEncoder
from ser.networks.mlp import MLPEncoder
from ser.networks.recurrent import LSTMEncoder
from ser.networks.segment import Pyramid

Encoder = MLPEncoder | Pyramid | ConvEncoder | LSTMEncoder
