"""The health of an adversarial game, in figures that are recorded once an epoch."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ser.data.batches import UNLABELLED
from ser.models.priors import Categorical, Gaussian, GaussianMixture

Prior = Categorical | Gaussian | GaussianMixture


def observed(name: str, prior: Prior, classes: int, codes: Tensor, labels: Tensor) -> dict:
    """Sums over a batch that `told` wants.

    Args:
        name: of the latent.
        prior: its own.
        classes: C.
        codes: (B, K).
        labels: (B,) class indices, or `UNLABELLED`.
    """
    if isinstance(prior, Categorical):
        return {f"{name}/mean": codes.sum(dim=0)}
    if isinstance(prior, Gaussian):
        return {f"{name}/mean": codes.sum(dim=0), f"{name}/second_moment": codes.T @ codes}
    # Drawn by their classes, the codes of each should lie about its mean.
    centres = prior.centres(codes.shape[1], classes).to(codes)
    known = labels != UNLABELLED
    away = codes[known] - centres[labels[known]]
    nearest = torch.cdist(codes[known], centres).argmin(dim=1)
    return {
        f"{name}/own_component": (nearest == labels[known]).sum(),
        f"{name}/square_distance": away.square().mean(dim=1).sum(),
        f"{name}/labelled": known.sum(),
    }


def told(name: str, means: Mapping[str, Tensor]) -> dict[str, float]:
    """How far a latent's codes are from its prior, as columns of the record.

    Args:
        name: of the latent.
        means: what `observed` summed, divided by the utterances of the epoch.
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
        return _against_normal(name, mean, means[f"{name}/second_moment"])
    entropy = -(mean * mean.clamp(min=1e-12).log()).sum() / torch.tensor(len(mean)).log()
    return {f"{name}/uniformity": float(entropy), f"{name}/largest": float(mean.max())}


def moments(x: Tensor, made: Tensor, lengths: Tensor | None) -> Tensor:
    """What `explained` wants of one batch, (4, D): squared errors, sums, squares, count.

    Args:
        x: (B, D) or (B, T, F), zero beyond each length.
        made: its reconstruction, as x.
        lengths: (B,) or None.
    """
    flat, errors = x.flatten(0, -2), (made - x).flatten(0, -2)
    count = torch.tensor(len(flat) if lengths is None else int(lengths.sum()))
    sums = [errors.square().sum(0), flat.sum(0), flat.square().sum(0)]
    return torch.stack([*sums, count.to(flat).expand(flat.shape[1])])


def explained(sums: Sequence[Tensor], groups: Mapping[str, list[int]]) -> dict[str, float]:
    """R² of the reconstruction on validation, by kind of feature; 1 is perfect.

    Args:
        sums: a `moments` each batch.
        groups: columns of the features by kind.
    """
    error, total, square, count = torch.stack(list(sums)).sum(0).double()
    spread = square - total.square() / count
    kinds = {"val/r2": list(range(len(error)))}
    kinds |= {f"val/r2_{name}": columns for name, columns in groups.items()}
    return {
        name: float(1 - error[columns].sum() / spread[columns].sum())
        for name, columns in kinds.items()
        # Nothing is to be explained of what does not vary.
        if spread[columns].sum() > 1e-6 * count[0]
    }


def lost(name: str, size: int, row: Mapping[str, float]) -> dict[str, str]:
    """In plain words, by a short name, how the game is lost; empty while it is not.

    Args:
        name: of the latent.
        size: K of it.
        row: of the record.
    """
    found = {}
    right = min(row.get(f"train/{name}_{side}_accuracy", 0.0) for side in ("real", "fake"))
    if right > 0.99:
        found[f"{name} discriminator won"] = (
            f"the discriminator of {name} tells real from fake in {right:.1%} of cases: the "
            "encoder learns nothing from it. A lower discriminator_rate or more dropout in the "
            "discriminator may help"
        )
    if row.get(f"{name}/largest", 0.0) > 0.95 and size > 1:
        found[f"{name} collapsed"] = (
            f"latent {name} has collapsed: {row[f'{name}/largest']:.1%} of its mass is on one class"
        )
    if row.get(f"{name}/variance", 1.0) < 0.01:
        found[f"{name} collapsed"] = (
            f"latent {name} has collapsed: its variance is {row[f'{name}/variance']:.4f}"
        )
    return found


def _against_normal(name: str, mean: Tensor, second_moment: Tensor) -> dict[str, float]:
    """How far a latent's codes are from N(0, I): 0, 1 and 0 would be equal to it."""
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
