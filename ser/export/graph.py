"""A recogniser as one torch module: features in, probabilities out, nothing fitted left outside.

The same steps as `ser.inference.loading`, on batches padded to their longest utterance, so that
they can be written down as one graph. How many segments or windows an utterance has depends on its
length alone: each gets as many as the longest could have, and those beyond its own do not count.
"""

from collections.abc import Callable
from functools import partial, singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from ser.data import segments
from ser.data.batches import UNLABELLED, Batch
from ser.data.standardise import Standardiser
from ser.errors import UserError
from ser.export.linear import Projection, scores
from ser.inference.classify import EstimatorClassifier, NetworkClassifier
from ser.inference.loading import Recogniser
from ser.networks.conv import mask
from ser.representations import Fitted
from ser.representations.learned import Network
from ser.representations.projection import Projected
from ser.representations.sequences import SequenceNetwork
from ser.representations.stack import Stacked
from ser.training.phased import PhasedModel

# What steps hand on: (N, K) and None, or (N, T, K) and (N,) lengths.
Seen = tuple[Tensor, Tensor | None]


class Graph(nn.Module):
    """Features of N utterances -> (N, C) probabilities.

    Args:
        recogniser: whose numbers it makes.

    Raises:
        UserError: a part of it cannot be written down as a graph.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        if recogniser.by_speaker:
            raise UserError(
                f"{recogniser.folder.path} standardises by speaker (data.standardise=speaker), "
                "which needs all of a speaker's utterances, and a graph sees each by itself; "
                "python -m ser predict --one-speaker tells of them, and a run with "
                "data.standardise=train can be exported"
            )
        self.codes = coded(recogniser.fitted, recogniser.segments) if recogniser.fitted else None
        self.classify = classified(recogniser.classify)
        self.temperature = recogniser.result.get("temperature")

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(N, D) features, or (N, T, F) frames and (N,) how many of each are no padding."""
        seen: Seen = (features, lengths)
        if self.codes is not None:
            seen = self.codes(*seen)
        found = self.classify(*seen)
        if self.temperature is not None:
            # As of `ser.training.calibration`: after the mean over windows or segments.
            least = torch.finfo(torch.float32).tiny
            found = (found.double().clamp(min=least).log() / self.temperature).softmax(dim=1)
        return found.float()


class Standardise(nn.Module):
    """(..., D) -> standardised, (..., D) float32; frames beyond an utterance's end become zero."""

    mean: Tensor
    scale: Tensor
    clip: Tensor

    def __init__(self, standardiser: Standardiser) -> None:
        super().__init__()
        clip = torch.inf if standardiser.clip is None else standardiser.clip
        self.register_buffer("mean", torch.from_numpy(standardiser.mean))
        self.register_buffer("scale", torch.from_numpy(standardiser.scale))
        self.register_buffer("clip", torch.tensor(clip, dtype=torch.float64))

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        # In double precision, as in training: openSMILE's values reach 1e13.
        x = ((x.double() - self.mean) / self.scale).clamp(-self.clip, self.clip).float()
        return x if lengths is None else x.masked_fill(~mask(lengths, x.shape[1]), 0.0)


# ---- which frames are seen together


def taken(x: Tensor, frames: Tensor) -> Tensor:
    """(N, T, F) and numbers (N, S, L) of its frames -> (N, S, L, F)."""
    flat = frames.flatten(1)[..., None].expand(-1, -1, x.shape[2])
    return x.gather(1, flat).unflatten(1, frames.shape[1:])


def stretches(lengths: Tensor, longest: int, *, frames: int, hop: int) -> tuple[Tensor, Tensor]:
    """As `ser.data.segments.cut`: (N, S, L) numbers of frames, and (N,) how many segments count."""
    spare = (lengths - frames).clamp(min=0)
    counts = 1 + (spare + hop - 1) // hop
    most = 1 + (torch.sym_max(longest - frames, 0) + hop - 1) // hop
    starts = torch.minimum(torch.arange(most) * hop, spare[:, None])
    last = lengths[:, None, None] - 1
    return torch.minimum(starts[..., None] + torch.arange(frames), last), counts


def contexts(lengths: Tensor, longest: int, *, past: int, future: int) -> tuple[Tensor, Tensor]:
    """As `ser.data.segments.context`: (N, T, L) numbers of frames, (N,) how many segments count."""
    around = torch.arange(longest)[:, None] + torch.arange(-past, future + 1)
    last = lengths[:, None, None] - 1
    return torch.minimum(around.clamp(min=0)[None], last), lengths


CUTS: dict[Callable[..., Any], Callable[..., tuple[Tensor, Tensor]]] = {
    segments.cut: stretches,
    segments.context: contexts,
}


def cut_by(cut: Any) -> Callable[[Tensor, int], tuple[Tensor, Tensor]]:
    """The counterpart of a partial of a function of `ser.data.segments`."""
    return partial(CUTS[cut.func], **cut.keywords)


class Windows(nn.Module):
    """An utterance in as few stretches as cover it, evenly spread, as of `FrameBatches`.

    Args:
        most: longest of them, in frames.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, T, F) and (N,) -> windows (N, W, L, F), their (N, W) lengths, (N,) how many count."""
        most = self.most
        counts = (lengths + most - 1) // most
        spare = (lengths - most).clamp(min=0)[:, None]
        place = torch.arange((x.shape[1] + most - 1) // most)
        starts = spare * place // (counts - 1).clamp(min=1)[:, None]
        # Those that do not count stand where the last one does.
        starts = torch.minimum(starts, spare)
        inside = lengths.clamp(max=most)[:, None].expand_as(starts)
        numbers = torch.arange(torch.sym_min(x.shape[1], most))
        # Beyond an utterance's end lies padding, which is zero; beyond the batch's, nothing.
        frames = (starts[..., None] + numbers).clamp(max=x.shape[1] - 1)
        windows = taken(x, frames)
        return windows.masked_fill(~(numbers < inside[..., None])[..., None], 0.0), inside, counts


def averaged(found: Tensor, counts: Tensor) -> Tensor:
    """(N, S, C) of which the first (N,) count -> (N, C)."""
    return (found * mask(counts, found.shape[1])).sum(dim=1) / counts[:, None]


# ---- codes


def unlabelled(x: Tensor) -> Tensor:
    return torch.full((x.shape[0],), UNLABELLED)


class Coder(nn.Module):
    """Codes of vectors, or of each segment of frames.

    Args:
        fitted: a representation.
        cut: see `cut_by`; of vectors nothing is made.
    """

    def __init__(self, fitted: Network, cut: Any) -> None:
        super().__init__()
        self.standardise = Standardise(fitted.standardiser)
        self.module, self.cut = fitted.module, cut_by(cut)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Seen:
        x = self.standardise(x, lengths)
        if lengths is None:
            return self.module.codes(Batch(x, unlabelled(x))), None
        frames, counts = self.cut(lengths, x.shape[1])
        each = taken(x, frames)
        flat = each.flatten(0, 1).flatten(1)
        codes = self.module.codes(Batch(flat, unlabelled(flat)))
        return codes.unflatten(0, each.shape[:2]), counts


class SequenceCoder(nn.Module):
    """One code of all frames of an utterance."""

    def __init__(self, fitted: SequenceNetwork) -> None:
        super().__init__()
        self.standardise = Standardise(fitted.standardiser)
        self.module = fitted.module

    def forward(self, x: Tensor, lengths: Tensor) -> Seen:
        x = self.standardise(x, lengths)
        return self.module.codes(Batch(x, unlabelled(x), lengths)), None


class ProjectionCoder(nn.Module):
    """Coordinates of vectors."""

    def __init__(self, fitted: Projected) -> None:
        super().__init__()
        self.standardise = Standardise(fitted.standardiser)
        self.project = Projection(fitted.transformer, fitted.size)

    def forward(self, x: Tensor, lengths: None) -> Seen:
        return self.project(self.standardise(x, None)), None


class StackedCoder(nn.Module):
    """Codes of codes."""

    def __init__(self, lower: nn.Module, upper: nn.Module) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, x: Tensor, lengths: Tensor) -> Seen:
        return self.upper(*self.lower(x, lengths))


@singledispatch
def coded(fitted: Fitted, cut: Any) -> nn.Module:
    """What a fitted representation does, as a module.

    Raises:
        UserError: there is none for this kind.
    """
    raise UserError(
        f"a representation of {type(fitted).__name__} cannot be exported; "
        "python -m ser predict tells of recordings by it"
    )


@coded.register
def _(fitted: Network, cut: Any) -> nn.Module:
    return Coder(fitted, cut)


@coded.register
def _(fitted: SequenceNetwork, cut: Any) -> nn.Module:
    return SequenceCoder(fitted)


@coded.register
def _(fitted: Projected, cut: Any) -> nn.Module:
    return ProjectionCoder(fitted)


@coded.register
def _(fitted: Stacked, cut: Any) -> nn.Module:
    # Each code of the lower one is a frame by itself to the upper one.
    return StackedCoder(coded(fitted.lower, cut), coded(fitted.upper, segments.each_alone))


# ---- probabilities


class Networked(nn.Module):
    """Probabilities of a network, means over the windows or segments of an utterance.

    Args:
        network: and what it is handed features by.

    Raises:
        UserError: it tells of utterances in a way of its own.
    """

    def __init__(self, network: NetworkClassifier) -> None:
        super().__init__()
        kind = type(network.model)
        if kind.probabilities is not PhasedModel.probabilities:
            raise UserError(
                f"model={kind.__name__}: it tells of an utterance by statistics of its segments, "
                "which cannot be exported; python -m ser predict tells of recordings by it"
            )
        self.standardise = Standardise(network.standardiser)
        self.model = network.model
        self.cut = None if network.segments is None else cut_by(network.segments)
        self.windows = Windows(network.max_frames)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        x = self.standardise(x, lengths)
        if lengths is None:
            return self._told(x, None)
        if self.cut is not None:
            frames, counts = self.cut(lengths, x.shape[1])
            each = taken(x, frames)
            found = self._told(each.flatten(0, 1).flatten(1), None)
        else:
            each, inside, counts = self.windows(x, lengths)
            found = self._told(each.flatten(0, 1), inside.flatten())
        return averaged(found.unflatten(0, each.shape[:2]), counts)

    def _told(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return self.model(Batch(x, unlabelled(x), lengths)).softmax(dim=1)


class Estimated(nn.Module):
    """Probabilities of a scikit-learn classifier."""

    def __init__(self, estimator: EstimatorClassifier) -> None:
        super().__init__()
        self.scores = scores(estimator.fitted)

    def forward(self, x: Tensor, lengths: None) -> Tensor:
        return self.scores(x).softmax(dim=1)


@singledispatch
def classified(classify: Any) -> nn.Module:
    """What a run's classifier does, as a module."""
    raise AssertionError(classify)


@classified.register
def _(classify: NetworkClassifier) -> nn.Module:
    return Networked(classify)


@classified.register
def _(classify: EstimatorClassifier) -> nn.Module:
    return Estimated(classify)
