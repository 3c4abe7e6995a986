"""Diagnostics of adversarial training, recorded once per epoch."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ser.data.batches import UNLABELLED, Batch
from ser.models.priors import Categorical, Gaussian, GaussianMixture, Ratings

Prior = Categorical | Gaussian | GaussianMixture | Ratings


def code_sums(name: str, prior: Prior, classes: int, codes: Tensor, labels: Tensor) -> dict:
    """Return sums over a batch for `code_statistics`.

    Args:
        name: Name of the latent.
        prior: Prior of the latent.
        classes: C.
        codes: (B, K); of a pack of R runs (R, B, K), zero for padding. Mixtures cannot be packed.
        labels: (B,) class indices, or `UNLABELLED`.
    """
    if isinstance(prior, Categorical):
        return {f"{name}/mean": codes.sum(dim=-2)}
    if isinstance(prior, Gaussian | Ratings):
        return {f"{name}/mean": codes.sum(dim=-2), f"{name}/second_moment": codes.mT @ codes}
    # The codes of each class are matched to the component of that class.
    centres = prior.centres(codes.shape[1], classes).to(codes)
    known = labels != UNLABELLED
    differences = codes[known] - centres[labels[known]]
    nearest = torch.cdist(codes[known], centres).argmin(dim=1)
    return {
        f"{name}/own_component": (nearest == labels[known]).sum(),
        f"{name}/square_distance": differences.square().mean(dim=1).sum(),
        f"{name}/labelled": known.sum(),
    }


def code_statistics(name: str, means: Mapping[str, Tensor]) -> dict[str, float]:
    """Return columns of the record that compare the codes of a latent with its prior.

    Args:
        name: Name of the latent.
        means: `code_sums` of the epoch, divided by its number of utterances.
    """
    if f"{name}/own_component" in means:
        labelled = means[f"{name}/labelled"].clamp(min=1e-12)
        return {
            f"{name}/own_component": float(means[f"{name}/own_component"] / labelled),
            f"{name}/distance_rms": float((means[f"{name}/square_distance"] / labelled).sqrt()),
        }
    if f"{name}/mean" not in means:
        return {}
    mean = means[f"{name}/mean"]
    if f"{name}/second_moment" in means:
        return _compare_with_normal(name, mean, means[f"{name}/second_moment"])
    entropy = -(mean * mean.clamp(min=1e-12).log()).sum() / torch.tensor(len(mean)).log()
    return {f"{name}/uniformity": float(entropy), f"{name}/largest": float(mean.max())}


def reconstruction_sums(x: Tensor, reconstruction: Tensor, lengths: Tensor | None) -> Tensor:
    """Return sums over a batch for `r2`, (4, D): squared errors, values, squares, count.

    Args:
        x: (B, D) or (B, T, F), zero beyond each length.
        reconstruction: Same shape as x.
        lengths: (B,) or None.
    """
    flat, errors = x.flatten(0, -2), (reconstruction - x).flatten(0, -2)
    count = torch.tensor(len(flat) if lengths is None else int(lengths.sum()))
    sums = [errors.square().sum(0), flat.sum(0), flat.square().sum(0)]
    return torch.stack([*sums, count.to(flat).expand(flat.shape[1])])


def pack_sums(batch: Batch, reconstruction: Tensor) -> Tensor:
    """Return the `reconstruction_sums` of each run of a pack, (R, 4, D).

    Args:
        batch: Batch of the pack, (R, B, D) or (R, B, T, F).
        reconstruction: Same shape as its features; of frames, zero beyond each length.
    """
    assert batch.weights is not None
    x, errors = batch.x, reconstruction - batch.x
    if batch.lengths is None:
        inside = (batch.weights > 0)[..., None].to(x)
        x, errors, counts = x * inside, errors * inside, inside.sum(dim=1)
    else:
        x, errors, counts = x.flatten(1, 2), errors.flatten(1, 2), batch.lengths.sum(1)[:, None]
    count = counts.to(x).expand(-1, x.shape[2])
    return torch.stack([errors.square().sum(1), x.sum(1), x.square().sum(1), count], dim=1)


def r2(sums: Sequence[Tensor], groups: Mapping[str, list[int]]) -> dict[str, float]:
    """Return R² of the reconstruction on validation, in total and by kind of feature.

    Args:
        sums: `reconstruction_sums` of each batch.
        groups: Columns of the features by kind.
    """
    error, variation, count = _variations(sums)
    kinds = {"val/r2": list(range(len(error)))}
    kinds |= {f"val/r2_{name}": columns for name, columns in groups.items()}
    return {
        name: float(1 - error[columns].sum() / variation[columns].sum())
        for name, columns in kinds.items()
        # R² is not defined for constant features.
        if variation[columns].sum() > 1e-6 * count
    }


def total_r2(sums: Sequence[Tensor]) -> float:
    """Return R² of a reconstruction over all values; 0 is that of the mean of each dimension.

    Args:
        sums: `reconstruction_sums` of each batch.
    """
    error, variation, _ = _variations(sums)
    return float(1 - error.sum() / variation.sum().clamp(min=1e-12))


def _variations(sums: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return squared errors (D,), squared deviations from the mean (D,), and the count."""
    error, total, square, count = torch.stack(list(sums)).sum(0).double()
    return error, square - total.square() / count, count[0]


def problems(name: str, size: int, row: Mapping[str, float]) -> dict[str, str]:
    """Return messages on failures of adversarial training, by a short name; empty: none.

    Args:
        name: Name of the latent.
        size: K of the latent.
        row: Row of the record.
    """
    messages = {}
    accuracy = min(row.get(f"train/{name}_{side}_accuracy", 0.0) for side in ("real", "fake"))
    if accuracy > 0.99:
        messages[f"{name} discriminator"] = (
            f"latent {name}: the discriminator dominates: it classifies {accuracy:.1%} of real and "
            "fake codes correctly, so the encoder hardly learns from it. A lower "
            "discriminator_rate or more dropout in the discriminator may help"
        )
    if row.get(f"{name}/largest", 0.0) > 0.95 and size > 1:
        messages[f"{name} collapse"] = (
            f"latent {name}: posterior collapse: one class has {row[f'{name}/largest']:.1%} of "
            "the mean code"
        )
    if row.get(f"{name}/variance", 1.0) < 0.01:
        messages[f"{name} collapse"] = (
            f"latent {name}: posterior collapse: the codes' variance is "
            f"{row[f'{name}/variance']:.4f}"
        )
    return messages


def _compare_with_normal(name: str, mean: Tensor, second_moment: Tensor) -> dict[str, float]:
    """Return statistics of the codes that are 0, 1 and 0 for samples of N(0, I).

    The first two are the same for samples of standardised ratings.
    """
    covariance = second_moment - torch.outer(mean, mean)
    off_diagonal = covariance - covariance.diag().diag()
    size = len(mean)
    return {
        f"{name}/mean_rms": float(mean.square().mean().sqrt()),
        f"{name}/variance": float(covariance.diag().mean()),
        f"{name}/covariance_rms": float(
            (off_diagonal.square().sum() / max(1, size * (size - 1))).sqrt()
        ),
    }
