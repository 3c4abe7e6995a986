"""The base of every model trained by gradients: phases in, manual optimisation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from ser.data.batches import Batch, Task
from ser.metrics import scores
from ser.training import ranks

Optimiser = Callable[..., torch.optim.Optimizer]


@dataclass(frozen=True)
class Phase:
    """One loss, and the parameters that one optimiser updates with it.

    `forward` and `loss` are pure functions of the modules, the batch and `shared`. Apart from
    batch normalisation's running statistics they change no state.

    Attributes:
        name: The loss is recorded as `train/<name>_loss`.
        loss: (batch, shared) -> scalar.
        modules: Only their parameters are updated.
        rate: Factor of the model's learning rate.
        forward: (batch, shared) -> shared. Called before `loss`, for outputs that later phases or
            `PhasedModel.observe` use, too; None: there are none.
    """

    name: str
    loss: Callable[[Batch, Any], Tensor]
    modules: Sequence[nn.Module]
    rate: float = 1.0
    forward: Callable[[Batch, Any], Any] | None = None

    def compute(self, batch: Batch, shared: Any) -> tuple[Tensor, Any]:
        """Return the loss of a batch, and what the following phases share."""
        if self.forward is not None:
            shared = self.forward(batch, shared)
        return self.loss(batch, shared), shared

    def parameters(self) -> list[nn.Parameter]:
        unique = {id(p): p for module in self.modules for p in module.parameters()}
        return list(unique.values())


class PhasedModel(pl.LightningModule, ABC):
    """A model whose every batch goes through its phases in order.

    A subclass gives `phases`; as a recogniser `forward(batch) -> logits`, as a representation what
    `ser.representations.learned` asks for; where its losses need random draws beyond dropout,
    `draw`; where more is to be recorded than losses, `observe` and `summary`. This class alone
    steps optimisers and keeps the record of each epoch.

    Args:
        task: what the model is made for.
        optimiser: partial of a torch optimiser; called with each phase's parameters.

    Attributes:
        record: one flat dict an epoch: `epoch`, `train/<phase>_loss`, `val/ua`, ... . Part of
            the checkpoint, so that a resumed run has the whole of it.
        uses_unlabelled: whether utterances without label teach the model anything.
    """

    uses_unlabelled = False

    def __init__(self, task: Task, optimiser: Optimiser) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.optimiser = optimiser
        self.record: list[dict[str, float]] = []
        self._confusion = MulticlassConfusionMatrix(task.classes, validate_args=False)
        self._validated = False
        # What a subclass sums over validation for its `summary`, a tensor a batch.
        self._val_sums: list[Tensor] = []
        self._sums: dict[str, Tensor] = {}
        self._seen = 0

    @property
    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """In the order in which a batch goes through them."""

    def draw(self, batch: Batch) -> Any:
        """Return the random draws that the phases of a batch share: samples of priors, noise.

        This is the first value of `shared`. A phase with a `forward` replaces it for the phases
        that follow; no phase modifies it.
        """
        return None

    def observe(self, batch: Batch, shared: Any) -> dict[str, Tensor]:
        """Return sums over a training batch for `summary`; called without gradients.

        Args:
            batch: Training batch.
            shared: As the last phase left it.
        """
        return {}

    def summary(self, means: dict[str, Tensor]) -> dict[str, float]:
        """Further columns of the epoch's record.

        Args:
            means: what `observe` summed, divided by the utterances of the epoch.
        """
        return {}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        optimisers = []
        for phase in self.phases:
            optimiser = self.optimiser(phase.parameters())
            for group in optimiser.param_groups:
                group["lr"] *= phase.rate
            optimisers.append(optimiser)
        return optimisers

    def on_train_start(self) -> None:
        optimisers = self.optimizers()
        optimisers = optimisers if isinstance(optimisers, list) else [optimisers]
        self._steps = list(zip(self.phases, optimisers, strict=True))
        # Of batch normalisation: gradients are averaged over ranks, and so must these be.
        self._statistics = [
            value
            for name, value in self.named_buffers()
            if name.endswith(("running_mean", "running_var"))
        ]
        # Those of a checkpoint are on the CPU.
        self._sums = {name: value.to(self.device) for name, value in self._sums.items()}

    def on_train_epoch_start(self) -> None:
        self._sums, self._seen = {}, 0

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        shared = self.draw(batch)
        weight = ranks.weight(len(batch.y), self.device)
        sums = {}
        for phase, optimiser in self._steps:
            loss, shared = phase.compute(batch, shared)
            # Gradients that another phase left on these parameters are not this phase's.
            optimiser.zero_grad()
            self.manual_backward(loss if weight is None else loss * weight)
            optimiser.step()
            sums[f"train/{phase.name}_loss"] = loss.detach() * len(batch.y)
        with torch.no_grad():
            sums |= self.observe(batch, shared)
            ranks.average(self._statistics)
        # Summed here and logged once an epoch: a log call a batch costs 0.4 ms.
        for name, value in sums.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._seen += len(batch.y)

    def on_validation_epoch_start(self) -> None:
        self._confusion.reset()
        self._validated = True
        self._val_sums = []
        self._val_loss = torch.zeros((), device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        found = self.probabilities(batch)
        likelihood = found.gather(1, batch.y[:, None]).clamp(min=torch.finfo(found.dtype).tiny)
        self._val_loss -= likelihood.log().sum()
        self._confusion.update(found.argmax(dim=1), batch.y)

    def end_epoch(self) -> None:
        """Adds a row to the record; called when training and validation of an epoch are done."""
        seen = sum(ranks.every(self._seen))
        means = {name: ranks.total(value) / seen for name, value in self._sums.items()}
        row: dict[str, float] = {"epoch": self.current_epoch}
        row |= {name: float(mean) for name, mean in means.items() if name.startswith("train/")}
        if self._validated:
            confusion = self._confusion.compute().cpu().numpy()
            found = scores(confusion)
            row["val/loss"] = float(ranks.total(self._val_loss)) / int(confusion.sum())
            row |= {f"val/{name}": found[name] for name in ("ua", "wa", "f1")}
            if self._val_sums and ranks.count() > 1:
                self._val_sums = [ranks.total(torch.stack(self._val_sums).sum(0))]
        self.record.append(row | self.summary(means))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of each phase on a batch, by `<phase>_loss`."""
        shared, losses = self.draw(batch), {}
        for phase in self.phases:
            losses[f"{phase.name}_loss"], shared = phase.compute(batch, shared)
        return losses

    def probabilities(self, batch: Batch) -> Tensor:
        """Class probabilities of a batch's utterances, (U, C); those of windows are averaged."""
        found = self(batch).softmax(dim=1)
        if batch.windows is None:
            return found
        sums = found.new_zeros(len(batch.y), found.shape[1]).index_add_(0, batch.windows, found)
        return sums / torch.bincount(batch.windows)[:, None]

    def conclude(self, batches: Iterable[Batch]) -> None:
        """Fits what is not fitted by gradients, once the weights that are kept are loaded.

        Args:
            batches: of the training part, in its own order; those of segments are of whole
                utterances.
        """

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Tensors and plain containers only, so that weights_only=True loads it.
        sums = {name: value.cpu() for name, value in self._sums.items()}
        checkpoint["epoch_so_far"] = ranks.every({"sums": sums, "seen": self._seen})
        checkpoint["record"] = self.record

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._sums, self._seen = checkpoint["epoch_so_far"][self.global_rank].values()
        self.record = checkpoint["record"]
