"""A finished run as one torch module, from features to class probabilities or values.

The steps are those of `ser.inference.loading`, on batches that are padded to the longest utterance,
so that they can be traced as one graph. The number of segments or windows of an utterance depends
on its length. Each utterance gets as many as the longest may have; those beyond its end are masked.
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
from ser.export.linear import Projection, linear_scores
from ser.inference.classify import EstimatorClassifier, NetworkClassifier
from ser.inference.loading import Recogniser
from ser.networks.conv import mask
from ser.representations import Fitted
from ser.representations.learned import Network
from ser.representations.projection import Projected
from ser.representations.sequences import SequenceNetwork
from ser.representations.stack import Stacked
from ser.training.phased import PhasedModel

Values = tuple[Tensor, Tensor | None]  # vectors (N, K), or sequences (N, T, K) and lengths (N,)


class Graph(nn.Module):
    """Features of N utterances -> (N, C) probabilities or (N, 1) values of each task.

    Args:
        recogniser: Run that the graph computes.

    Raises:
        UserError: A part of the run cannot be expressed as a graph.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        if recogniser.by_speaker:
            raise UserError(
                f"{recogniser.folder.path} standardises by speaker (data.standardise=speaker). "
                "This needs all utterances of a speaker, but an exported model processes each by "
                "itself. Use python -m ser predict --one-speaker, or export a run with "
                "data.standardise=train"
            )
        self.codes = (
            make_coder(recogniser.fitted, recogniser.segments) if recogniser.fitted else None
        )
        self.classify = make_classifier(recogniser.classify)
        self.temperature = recogniser.result.get("temperature")
        self.widths = [task.width for task in recogniser.kind.tasks]

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return probabilities (N, C), or values (N, 1), of each task.

        Args:
            features: (N, D) vectors, or (N, T, F) frames.
            lengths: (N,) numbers of frames without padding; None: vectors.
        """
        values: Values = (features, lengths)
        if self.codes is not None:
            values = self.codes(*values)
        probabilities = self.classify(*values)
        if self.temperature is not None:
            # After the mean over windows or segments, as in `ser.training.calibration`.
            least = torch.finfo(torch.float32).tiny
            logits = probabilities.double().clamp(min=least).log()
            probabilities = (logits / self.temperature).softmax(dim=1)
        return probabilities.float().split(self.widths, dim=1)


class Standardise(nn.Module):
    """(..., D) -> standardised (..., D) float32; frames beyond the end of an utterance become 0."""

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
        # In double precision, as in training, because values of openSMILE reach 1e13.
        x = ((x.double() - self.mean) / self.scale).clamp(-self.clip, self.clip).float()
        return x if lengths is None else x.masked_fill(~mask(lengths, x.shape[1]), 0.0)


# ---- segments and windows


def gather_frames(x: Tensor, frames: Tensor) -> Tensor:
    """Return frames by their indices: (N, T, F) and (N, S, L) -> (N, S, L, F)."""
    flat = frames.flatten(1)[..., None].expand(-1, -1, x.shape[2])
    return x.gather(1, flat).unflatten(1, frames.shape[1:])


def cut(lengths: Tensor, longest: int, *, frames: int, hop: int) -> tuple[Tensor, Tensor]:
    """Return segments as `ser.data.segments.cut` does.

    Returns:
        Indices of frames, (N, S, L), and numbers of segments, (N,).
    """
    spare = (lengths - frames).clamp(min=0)
    counts = 1 + (spare + hop - 1) // hop
    most = 1 + (torch.sym_max(longest - frames, 0) + hop - 1) // hop
    starts = torch.minimum(torch.arange(most) * hop, spare[:, None])
    last = lengths[:, None, None] - 1
    return torch.minimum(starts[..., None] + torch.arange(frames), last), counts


def context(lengths: Tensor, longest: int, *, past: int, future: int) -> tuple[Tensor, Tensor]:
    """Return segments as `ser.data.segments.context` does.

    Returns:
        Indices of frames, (N, T, L), and numbers of segments, (N,).
    """
    around = torch.arange(longest)[:, None] + torch.arange(-past, future + 1)
    last = lengths[:, None, None] - 1
    return torch.minimum(around.clamp(min=0)[None], last), lengths


COUNTERPARTS: dict[Callable[..., Any], Callable[..., tuple[Tensor, Tensor]]] = {
    segments.cut: cut,
    segments.context: context,
}


def make_cutter(segmentation: Any) -> Callable[[Tensor, int], tuple[Tensor, Tensor]]:
    """Return the counterpart of a partial of a function of `ser.data.segments`."""
    return partial(COUNTERPARTS[segmentation.func], **segmentation.keywords)


class Windows(nn.Module):
    """Splits an utterance into as few windows as cover it, evenly spread, as `FrameBatches` does.

    Args:
        most: Length of a window at most, in frames.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return windows (N, W, L, F), their lengths (N, W) and the numbers of windows (N,).

        Args:
            x: (N, T, F) padded frames.
            lengths: (N,) numbers of frames.
        """
        most = self.most
        counts = (lengths + most - 1) // most
        spare = (lengths - most).clamp(min=0)[:, None]
        place = torch.arange((x.shape[1] + most - 1) // most)
        starts = spare * place // (counts - 1).clamp(min=1)[:, None]
        # Windows that do not count start where the last one does.
        starts = torch.minimum(starts, spare)
        inside = lengths.clamp(max=most)[:, None].expand_as(starts)
        offsets = torch.arange(torch.sym_min(x.shape[1], most))
        # Frames beyond the end of an utterance are padding; those beyond the batch do not exist.
        windows = gather_frames(x, (starts[..., None] + offsets).clamp(max=x.shape[1] - 1))
        return windows.masked_fill(~(offsets < inside[..., None])[..., None], 0.0), inside, counts


def masked_mean(x: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of the first `counts` (N,) of S values: (N, S, C) -> (N, C)."""
    return (x * mask(counts, x.shape[1])).sum(dim=1) / counts[:, None]


def unlabelled_batch(x: Tensor, lengths: Tensor | None = None) -> Batch:
    """Return inputs as a batch without labels."""
    return Batch(x, torch.full((x.shape[0],), UNLABELLED), lengths)


# ---- codes


class Coder(nn.Module):
    """Codes of vectors, or of each segment of frames.

    Args:
        fitted: Representation.
        segmentation: See `make_cutter`; not used for vectors.
    """

    def __init__(self, fitted: Network, segmentation: Any) -> None:
        super().__init__()
        self.standardise = Standardise(fitted.standardiser)
        self.module, self.cut = fitted.module, make_cutter(segmentation)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Values:
        x = self.standardise(x, lengths)
        if lengths is None:
            return self.module.codes(unlabelled_batch(x)), None
        frames, counts = self.cut(lengths, x.shape[1])
        cut_out = gather_frames(x, frames)
        codes = self.module.codes(unlabelled_batch(cut_out.flatten(0, 1).flatten(1)))
        return codes.unflatten(0, cut_out.shape[:2]), counts


class SequenceCoder(nn.Module):
    """One code per utterance, of its sequence of frames."""

    def __init__(self, fitted: SequenceNetwork) -> None:
        super().__init__()
        self.standardise = Standardise(fitted.standardiser)
        self.module = fitted.module

    def forward(self, x: Tensor, lengths: Tensor) -> Values:
        x = self.standardise(x, lengths)
        return self.module.codes(unlabelled_batch(x, lengths)), None


class ProjectionCoder(nn.Module):
    """Coordinates of vectors on the axes of a projection."""

    def __init__(self, fitted: Projected) -> None:
        super().__init__()
        self.standardise = Standardise(fitted.standardiser)
        self.project = Projection(fitted.transformer, fitted.size)

    def forward(self, x: Tensor, lengths: None) -> Values:
        return self.project(self.standardise(x, None)), None


class StackedCoder(nn.Module):
    """Codes of the codes of another representation."""

    def __init__(self, lower: nn.Module, upper: nn.Module) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, x: Tensor, lengths: Tensor) -> Values:
        return self.upper(*self.lower(x, lengths))


@singledispatch
def make_coder(fitted: Fitted, segmentation: Any) -> nn.Module:
    """Return the module that computes codes as a fitted representation does.

    Raises:
        UserError: A representation of this type cannot be exported.
    """
    raise UserError(
        f"a representation of type {type(fitted).__name__} cannot be exported; "
        "use python -m ser predict"
    )


@make_coder.register
def _(fitted: Network, segmentation: Any) -> nn.Module:
    return Coder(fitted, segmentation)


@make_coder.register
def _(fitted: SequenceNetwork, segmentation: Any) -> nn.Module:
    return SequenceCoder(fitted)


@make_coder.register
def _(fitted: Projected, segmentation: Any) -> nn.Module:
    return ProjectionCoder(fitted)


@make_coder.register
def _(fitted: Stacked, segmentation: Any) -> nn.Module:
    # For the upper representation each code of the lower one is a segment of one frame.
    lower = make_coder(fitted.lower, segmentation)
    return StackedCoder(lower, make_coder(fitted.upper, segments.each_alone))


# ---- probabilities


class NetworkGraph(nn.Module):
    """Probabilities of a network, averaged over the windows or segments of an utterance.

    Args:
        network: Network of the run.

    Raises:
        UserError: The model combines the segments of an utterance in another way.
    """

    def __init__(self, network: NetworkClassifier) -> None:
        super().__init__()
        kind = type(network.model)
        if kind.predictions is not PhasedModel.predictions:
            raise UserError(
                f"model={kind.__name__} predicts an utterance from statistics of its segments, "
                "which cannot be exported; use python -m ser predict"
            )
        self.standardise = Standardise(network.standardiser)
        self.model = network.model
        self.cut = None if network.segments is None else make_cutter(network.segments)
        self.windows = Windows(network.max_frames)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        x = self.standardise(x, lengths)
        if lengths is None:
            return self._probabilities(x, None)
        if self.cut is not None:
            frames, counts = self.cut(lengths, x.shape[1])
            parts = gather_frames(x, frames)
            probabilities = self._probabilities(parts.flatten(0, 1).flatten(1), None)
        else:
            parts, inside, counts = self.windows(x, lengths)
            probabilities = self._probabilities(parts.flatten(0, 1), inside.flatten())
        return masked_mean(probabilities.unflatten(0, parts.shape[:2]), counts)

    def _probabilities(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        return self.model.outputs.predict(self.model(unlabelled_batch(x, lengths)))


class EstimatorGraph(nn.Module):
    """Probabilities of a scikit-learn classifier, or values of a regressor."""

    def __init__(self, estimator: EstimatorClassifier) -> None:
        super().__init__()
        self.scores = linear_scores(estimator.fitted)

    def forward(self, x: Tensor, lengths: None) -> Tensor:
        scores = self.scores(x)
        return scores.softmax(dim=1) if self.scores.classes else scores


@singledispatch
def make_classifier(classify: Any) -> nn.Module:
    """Return the module that computes probabilities as the classifier of a run does."""
    raise AssertionError(classify)


@make_classifier.register
def _(classify: NetworkClassifier) -> nn.Module:
    return NetworkGraph(classify)


@make_classifier.register
def _(classify: EstimatorClassifier) -> nn.Module:
    return EstimatorGraph(classify)
