"""Distributions that codes are drawn towards. `real` is a sample of one, everywhere."""

import torch
from torch import Tensor, nn


class Gaussian:
    """N(0, I); its codes are what the encoder's linear head gives."""

    def sample(self, count: int, size: int, device: torch.device) -> Tensor:
        """(count, size) samples."""
        return torch.randn(count, size, device=device)

    def code(self, head: Tensor) -> Tensor:
        """What an encoder's head (B, size) means as a code, (B, size)."""
        return head


class Categorical:
    """One of `size` classes with equal probabilities, one-hot; its codes are softmax outputs."""

    def sample(self, count: int, size: int, device: torch.device) -> Tensor:
        """(count, size) one-hot samples."""
        drawn = torch.randint(size, (count,), device=device)
        return nn.functional.one_hot(drawn, size).to(torch.get_default_dtype())

    def code(self, head: Tensor) -> Tensor:
        """(B, size) logits -> (B, size) probabilities."""
        return head.softmax(dim=1)
