"""The base class of every model trained by gradients: phases and manual optimisation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ser.data.batches import Batch, Task
from ser.networks.noise import NOISE, Noise
from ser.training import ranks
from ser.training.captured import CapturedSteps
from ser.training.heads import Outputs

Optimiser = Callable[..., torch.optim.Optimizer]


def utterances(batch: Batch) -> int:
    """Return the number of utterances of a batch."""
    return len(batch.y)


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
        items: batch -> number of items that the loss averages over, or the sum of their weights;
            None: the loss is a sum. Ranks that share a batch weight their losses by it.
    """

    name: str
    loss: Callable[[Batch, Any], Tensor]
    modules: Sequence[nn.Module]
    rate: float = 1.0
    forward: Callable[[Batch, Any], Any] | None = None
    items: Callable[[Batch], float | Tensor] | None = utterances

    def compute(self, batch: Batch, shared: Any) -> tuple[Tensor, Any]:
        """Return the loss of a batch, and what the following phases share."""
        if self.forward is not None:
            shared = self.forward(batch, shared)
        return self.loss(batch, shared), shared

    def parameters(self) -> list[nn.Parameter]:
        unique = {id(p): p for module in self.modules for p in module.parameters()}
        return list(unique.values())


class PhasedModel(pl.LightningModule, ABC):
    """A model whose phases process each batch in order.

    A subclass defines `phases`. A recogniser also defines `forward(batch) -> outputs`, logits of
    classes or standardised values, and a
    representation the methods of `ser.representations.learned.Coder`. Optional are `draw`, if the
    losses need random draws besides dropout, and `observe` and `summary`, if more than losses is
    recorded. Only this class steps optimisers and writes the record.

    Args:
        task: Inputs and classes of the model.
        optimiser: Partial of a torch optimiser, called with the parameters of each phase.

    Attributes:
        record: One flat dict per epoch: `epoch`, `train/<phase>_loss`, `val/ua`, ... . It is saved
            in checkpoints, so that a resumed run has all of it.
        outputs: What the outputs of a recogniser mean.
        uses_unlabelled: Whether the model learns from utterances without label.
        takes_values: Whether the model can predict values, and several tasks.
        takes_shares: Whether the model can learn shares of raters, and labels with weights.
        takes_packs: Whether several runs can be trained as one model (`ser.training.pack`).
        takes_graphs: Whether a step of one target of classes can be captured as a CUDA graph: it
            computes the same for all batches of a shape, and waits for no result.
        captured: Steps as CUDA graphs, on a GPU; None: each step is computed anew.
        source: Of the random numbers of `draw`; another one in packs.
    """

    uses_unlabelled = False
    takes_values = False
    takes_shares = False
    takes_packs = False
    takes_graphs = False
    captured: CapturedSteps | None = None

    def __init__(self, task: Task, optimiser: Optimiser) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.optimiser = optimiser
        self.record: list[dict[str, float]] = []
        self.outputs = Outputs(task)
        self.source: Noise = NOISE
        self._validated = False
        # `validation_sums` of each batch.
        self._val_sums: list[Tensor] = []
        self._sums: dict[str, Tensor] = {}
        self._seen = 0

    @property
    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases, in the order in which they process a batch."""

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
        """Return further columns of the epoch's record.

        Args:
            means: The sums of `observe`, divided by the number of utterances of the epoch.
        """
        return {}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimiser_of(phase, phase.parameters()) for phase in self.phases]

    def optimiser_of(
        self, phase: Phase, parameters: Sequence[nn.Parameter]
    ) -> torch.optim.Optimizer:
        """Return an optimiser of parameters with the learning rate of a phase."""
        optimiser = self.optimiser(parameters)
        for group in optimiser.param_groups:
            group["lr"] *= phase.rate
        return optimiser

    def on_train_start(self) -> None:
        optimisers = self.optimizers()
        optimisers = optimisers if isinstance(optimisers, list) else [optimisers]
        self._steps = list(zip(self.phases, optimisers, strict=True))
        if self.captured is not None:
            self.captured.use([each.optimizer for each in optimisers])
        # Running statistics of batch normalisation, averaged over ranks as gradients are.
        self._statistics = [
            value
            for name, value in self.named_buffers()
            if name.endswith(("running_mean", "running_var"))
        ]
        # Sums from a checkpoint are on the CPU.
        self._sums = {name: value.to(self.device) for name, value in self._sums.items()}

    def on_train_epoch_start(self) -> None:
        # In place: captured steps add to these tensors.
        for value in self._sums.values():
            value.zero_()
        self._seen = 0

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        if self.captured is None:
            self._step(batch)
        else:
            self.captured(batch, self._step)
        self._seen += len(batch.y)

    def _step(self, batch: Batch) -> None:
        """Let all phases learn from a batch."""
        shared = self.draw(batch)
        sums = {}
        weights = self._weights(batch)
        for (phase, optimiser), (weight, times) in zip(self._steps, weights, strict=True):
            loss, shared = phase.compute(batch, shared)
            loss = loss if weight is None else loss * weight
            # Remove the gradients that other phases have left on these parameters.
            optimiser.zero_grad()
            self.manual_backward(loss)
            optimiser.step()
            sums[f"train/{phase.name}_loss"] = loss.detach() * times
        with torch.no_grad():
            sums |= self.observe(batch, shared)
            ranks.average(self._statistics)
            self._add(sums)

    def add(self, sums: Mapping[str, Tensor], count: int) -> None:
        """Add sums over some utterances to those of the epoch."""
        self._add(sums)
        self._seen += count

    def _add(self, sums: Mapping[str, Tensor]) -> None:
        # They are summed here and logged once per epoch: a log call per batch costs 0.4 ms.
        for name, value in sums.items():
            if name in self._sums:
                self._sums[name] += value
            else:
                self._sums[name] = value.clone()

    def _weights(self, batch: Batch) -> list[tuple[Tensor | None, float | Tensor]]:
        """Return a pair of numbers for the loss of each phase.

        The first is its weight among ranks, whose gradients are averaged; None: there is one rank.
        The second is what the weighted loss is multiplied by for the record, whose losses are per
        utterance: a mean counts for each utterance of the batch, a sum once.
        """
        rows, phases = len(batch.y), [phase for phase, _ in self._steps]
        if ranks.count() == 1:
            return [(None, rows if phase.items else 1) for phase in phases]
        items = [phase.items(batch) if phase.items else None for phase in phases]
        of_rows, *weights = ranks.weights([rows, *items], self.device)
        per_rank = rows / of_rows
        times = [per_rank if phase.items else 1 / ranks.count() for phase in phases]
        return list(zip(weights, times, strict=True))

    def on_validation_epoch_start(self) -> None:
        self.outputs.reset()
        self._validated = True
        self._val_sums = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.add_validation(self.predictions(batch), batch.y, self.validation_sums(batch))

    def validation_sums(self, batch: Batch) -> Tensor | None:
        """Return sums over a validation batch for `summary`; None: there are none."""
        return None

    def add_validation(self, predicted: Tensor, y: Tensor, sums: Tensor | None) -> None:
        """Score predictions of some validation utterances, and keep their `validation_sums`."""
        self.outputs.update(predicted, y)
        if sums is not None:
            self._val_sums.append(sums)

    @property
    def score(self) -> str:
        """Column of the record by which epochs are selected; the highest is best."""
        return f"val/{self.outputs.score}"

    def end_epoch(self) -> None:
        """Add a row to the record; called after training and validation of an epoch."""
        seen = sum(ranks.every(self._seen))
        means = {name: ranks.total(value) / seen for name, value in self._sums.items()}
        row: dict[str, float] = {"epoch": len(self.record)}
        row |= {name: float(mean) for name, mean in means.items() if name.startswith("train/")}
        if self._validated:
            row |= {f"val/{name}": value for name, value in self.outputs.scores().items()}
            if self._val_sums and ranks.count() > 1:
                self._val_sums = [ranks.total(torch.stack(self._val_sums).sum(0))]
        self.record.append(row | self.summary(means))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of each phase on a batch, by `<phase>_loss`."""
        shared, losses = self.draw(batch), {}
        for phase in self.phases:
            losses[f"{phase.name}_loss"], shared = phase.compute(batch, shared)
        return losses

    def predictions(self, batch: Batch) -> Tensor:
        """Return class probabilities or values (U, C) of utterances: means over their windows."""
        p = self.outputs.predict(self(batch))
        if batch.windows is None:
            return p
        sums = p.new_zeros(len(batch.y), p.shape[1]).index_add_(0, batch.windows, p)
        return sums / torch.bincount(batch.windows)[:, None]

    def fit_closed_form(self, batches: Iterable[Batch]) -> None:
        """Fit what is not fitted by gradients; called when the selected weights are loaded.

        Args:
            batches: The training split in its own order; at segment level, batches of whole
                utterances.
        """

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Only tensors and plain containers, so that weights_only=True loads the checkpoint.
        sums = {name: value.cpu() for name, value in self._sums.items()}
        checkpoint["epoch_so_far"] = ranks.every({"sums": sums, "seen": self._seen})
        checkpoint["record"] = self.record

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._sums, self._seen = checkpoint["epoch_so_far"][self.global_rank].values()
        self.record = checkpoint["record"]
