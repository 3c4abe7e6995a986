"""Training of several runs with the same network as one stacked model: a pack.

A step computes the batches of all runs together. What a run learns depends on its own data and seed
alone: it has its own batches, random numbers, batch normalisation, optimiser states, selection and
end of training. Apart from rounding, its result is the same in every pack. It is not that of a run
trained alone, bit for bit: dropout masks and samples of priors come from another generator.

Runs that differ in their validation and test splits only share a training: the same weights in all
epochs, of which each run selects one by its own validation split.

There are no checkpoints within a training: one that is killed begins anew.
"""

import logging
import os
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn

from ser.data.datamodule import DataModule
from ser.data.pack import Items, PackData
from ser.errors import UserError
from ser.networks.noise import PackNoise
from ser.networks.stacked import PackRows, share_all, stack
from ser.training.callbacks import require_finite
from ser.training.captured import FRAMES, PackSteps, Trainings
from ser.training.devices import allow_tf32
from ser.training.phased import Phase, PhasedModel
from ser.training.stopping import CheckpointSelection
from ser.training.trainer import Training, save_training

log = logging.getLogger(__name__)

LOG_SECONDS = 10.0


@dataclass
class Member:
    """A run of a pack.

    Attributes:
        model: Model, initialised from the run's seed.
        data: Data of the run.
        selection: Selection of the weights, which the model has after training.
        error: Why the training of this run has failed, or None.
    """

    model: PhasedModel
    data: DataModule
    selection: CheckpointSelection
    error: UserError | None = None


@dataclass(frozen=True)
class _PackPhase:
    """A phase of the stacked model.

    Attributes:
        phase: The phase.
        optimiser: Optimiser of the parameters of all trainings.
        stacked: Its parameters, with a first dimension of R.
        own: The same parameters of each training.
    """

    phase: Phase
    optimiser: torch.optim.Optimizer
    stacked: list[nn.Parameter]
    own: list[list[nn.Parameter]] = field(repr=False)

    def update(self, losses: Tensor, trainings: Trainings) -> None:
        """Update the parameters of some trainings by the gradients of their losses (R,)."""
        gradients = torch.autograd.grad(losses.sum(), self.stacked, allow_unused=True)
        # A parameter without gradient is not updated, nor are the moments of its optimiser.
        self.optimiser.zero_grad()
        for number, gradient in enumerate(gradients):
            if gradient is not None:
                of_each = gradient.contiguous().unbind()
                for training in trainings:
                    self.own[training][number].grad = of_each[training]
        self.optimiser.step()


class Pack:
    """Several runs as one stacked model.

    Args:
        members: Runs, whose models become views of the stacked model.
        device: Where they are trained.
        graphs: Capture steps as CUDA graphs; without effect on a CPU.

    Attributes:
        trainings: Numbers of the runs of each of the R trainings.
    """

    def __init__(
        self, members: Sequence[Member], device: torch.device, *, graphs: bool = True
    ) -> None:
        self.members, self.device = members, device
        self.trainings = _trainings(members)
        self.data = PackData(
            [[members[run].data for run in runs] for runs in self.trainings], device
        )
        self._rows = PackRows()
        first = [members[runs[0]] for runs in self.trainings]
        seeds = [_noise_seed(member.data.seed) for member in first]
        self.noise = PackNoise(seeds, rows=self.data.rows, drawn=self.data.most, device=device)
        for member in members:
            member.model.to(device).outputs.to("cpu")  # scores are computed there
        models = [member.model for member in first]
        network = stack(models, self._rows, self.noise)
        assert isinstance(network, PhasedModel)
        self.network = network
        self.network.source = self.noise
        for model, runs in zip(models, self.trainings, strict=True):
            for run in runs[1:]:
                share_all(model, members[run].model)
        self._phases = [
            _pack_phase(network, models, number) for number in range(len(network.phases))
        ]
        self._items: Items | None = None  # that captured steps read
        self._sums: dict[str, Tensor] = {}
        self._step = PackSteps(self._compute, captured=graphs and device.type == "cuda")

    def step(self, items: Items, longest: int | None, trainings: Trainings) -> None:
        """Train on a batch.

        Args:
            items: Items of the batch.
            longest: Their largest number of frames; None at utterance level.
            trainings: Numbers of the trainings that are updated.
        """
        if self._items is None:
            self._items = items.each(torch.clone)
        for own, new in zip(self._items, items, strict=True):
            if own is not None and new is not None:
                own.copy_(new)
        if len(trainings) < len(self.trainings):
            absent = [each for each in range(len(self.trainings)) if each not in trainings]
            self._items.weights[absent] = 0.0
            if self._items.lengths is not None:
                self._items.lengths[absent] = 0
        self._step(trainings, None if longest is None else -(-longest // FRAMES) * FRAMES)

    def train_epoch(self, number: int, runs: Sequence[int]) -> None:
        """Train some runs for an epoch; their models get the sums over it."""
        self.network.train()
        for sums in self._sums.values():
            sums.zero_()
        seen: Counter[int] = Counter()
        numbered = list(enumerate(self.trainings))
        going = [training for training, own in numbered if not set(own).isdisjoint(runs)]
        for items, longest, counts in self.data.epoch(number):
            present = tuple(training for training in going if counts[training])
            self.step(items, longest, present)
            seen.update({training: counts[training] for training in present})
        totals = {name: each.cpu() for name, each in self._sums.items()}
        for training, own in numbered:
            for run in set(own).intersection(runs):
                model = self.members[run].model
                model.on_train_epoch_start()
                model.add({name: each[training] for name, each in totals.items()}, seen[training])

    @torch.no_grad()
    def validate(self, runs: Sequence[int]) -> None:
        """Let the models of some runs score their validation splits."""
        self.network.eval()
        for place in range(len(self.data.validation)):
            of_place = {
                training: own[place]
                for training, own in enumerate(self.trainings)
                if place < len(own) and own[place] in runs
            }
            if of_place:
                self._validate(place, of_place)

    def _validate(self, place: int, runs: Mapping[int, int]) -> None:
        """Score the validation splits of the runs with one place in their trainings.

        Args:
            place: Place of each run among those of its training.
            runs: Number of the run, by that of its training.
        """
        predicted: dict[int, list[Tensor]] = defaultdict(list)
        sums: dict[int, list[Tensor]] = defaultdict(list)
        for items, longest, counts in self.data.validation[place]:
            self._rows.weights = items.weights
            batch = self.data.batch(items, longest)
            of_all = self.network.outputs.predict(self.network(batch)).cpu()
            sums_of_all = self.network.validation_sums(batch)
            sums_of_all = None if sums_of_all is None else sums_of_all.cpu()
            for training in runs:
                if count := counts[training]:
                    predicted[training].append(of_all[training, :count])
                    if sums_of_all is not None:
                        sums[training].append(sums_of_all[training])
        for training, run in runs.items():
            model, own = self.members[run].model, sums[training]
            model.on_validation_epoch_start()
            p, y = self.data.of_utterances(training, place, torch.cat(predicted[training]))
            model.add_validation(p, y, torch.stack(own).sum(0) if own else None)

    def _compute(self, trainings: Trainings, frames: int | None) -> None:
        """Compute a step from the items that are in place, with T frames."""
        assert self._items is not None
        weights = self._rows.weights = self._items.weights
        counts = (weights > 0).sum(dim=1)
        self.noise.begin_step(counts > 0)
        batch = self.data.batch(self._items, frames)
        sums: dict[str, Tensor] = {}
        shared = self.network.draw(batch)
        for part in self._phases:
            losses, shared = part.phase.compute(batch, shared)
            part.update(losses, trainings)
            sums[f"train/{part.phase.name}_loss"] = losses.detach() * counts
        with torch.no_grad():
            sums |= self.network.observe(batch, shared)
        for name, value in sums.items():
            if name in self._sums:
                self._sums[name] += value  # in place, because it may be captured
            else:
                self._sums[name] = value.clone()


def fit_alone(
    training: Training,
    model: PhasedModel,
    data: DataModule,
    folder: Path,
    loggers: Sequence[Logger],
) -> CheckpointSelection:
    """Train a pack of one run, and write what a training leaves; Args as of `Training.fit`.

    Raises:
        UserError: As of `fit_pack`, or a loss is not finite.
    """
    member = Member(model, data, training.selection())
    fit_pack(training, [member])
    if member.error is not None:
        raise member.error
    save_training(folder, model.record, member.selection, loggers)
    return member.selection


def fit_pack(training: Training, members: Sequence[Member]) -> None:
    """Train the runs of a pack, and load the selected weights of each.

    Args:
        training: How they are trained.
        members: Runs with the same network. `error` is set where a loss is not finite.

    Raises:
        UserError: The network cannot be stacked, or a requested device is not available.
    """
    training.require_devices()
    with training.device() as devices:
        device = torch.device("cpu" if isinstance(devices, int) else f"cuda:{devices[0]}")
        if device.type == "cpu":
            log.info("a pack of runs is slower on a CPU than the same runs trained separately")
        else:
            torch.cuda.set_device(device)  # streams and graphs are of the current device
            allow_tf32(training.precision == "tf32")
        if training.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as Lightning does
        torch.use_deterministic_algorithms(training.deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        _train(Pack(members, device), training.max_epochs)
    for member in members:
        member.model.cpu()
        if member.error is None:
            # Not copied into its tensors, which another run may share.
            member.model.load_state_dict(member.selection.weights, assign=True)


def _train(pack: Pack, max_epochs: int) -> None:
    """Train all runs of a pack, each until its training ends."""
    members = pack.members
    epochs = members[0].selection.max_epochs or max_epochs
    runs = list(range(len(members)))
    logged = time.monotonic()
    for epoch in range(epochs):
        pack.train_epoch(epoch, runs)
        pack.validate(runs)
        runs = [run for run in runs if _goes_on(members[run])]
        if not runs:
            break
        if time.monotonic() - logged > LOG_SECONDS:
            logged = time.monotonic()
            log.info("epoch %d of %d: %d runs are trained together", epoch + 1, epochs, len(runs))


def _goes_on(member: Member) -> bool:
    """Complete the record of an epoch, select, and return whether the training goes on."""
    model = member.model
    model.end_epoch()
    try:
        require_finite(model.record[-1])
    except UserError as error:
        member.error = error
        return False
    return not member.selection.end_epoch(model)


def _trainings(members: Sequence[Member]) -> list[list[int]]:
    """Return the numbers of the runs of each training: those that differ in other splits only."""
    of_key: dict[Hashable, list[int]] = defaultdict(list)
    for run, member in enumerate(members):
        data = member.data
        of_key[id(data.features), data.seed, tuple(data.fold.training)].append(run)
    return list(of_key.values())


def _pack_phase(network: PhasedModel, models: Sequence[PhasedModel], number: int) -> _PackPhase:
    """Return a phase of a stacked model with one optimiser for the parameters of all runs."""
    phase = network.phases[number]
    own = [list(model.phases[number].parameters()) for model in models]
    optimiser = network.optimiser_of(phase, [each for parameters in own for each in parameters])
    for group in optimiser.param_groups:
        if "capturable" in group:
            group["capturable"] = own[0][0].is_cuda
    return _PackPhase(phase, optimiser, phase.parameters(), own)


def _noise_seed(seed: int) -> int:
    """Return the seed of a run's dropout and samples, another one than that of its weights."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])
