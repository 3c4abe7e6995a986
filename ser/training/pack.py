"""Training of several runs with the same network as one stacked model: a pack.

A step computes the batches of all runs together. What a run learns depends on its own data and seed
alone: it has its own batches, random numbers, batch normalisation, optimiser states, selection and
end of training. Apart from rounding, its result is the same in every pack. It is not that of a run
trained alone, bit for bit: dropout masks and samples of priors come from another generator.

There are no checkpoints within a training: one that is killed begins anew.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn

from ser.data.datamodule import DataModule
from ser.data.pack import PackData
from ser.errors import UserError
from ser.networks.noise import PackNoise
from ser.networks.stacked import PackRows, stack
from ser.training.callbacks import require_finite
from ser.training.phased import Phase, PhasedModel
from ser.training.stopping import CheckpointSelection
from ser.training.trainer import Training, save_training

log = logging.getLogger(__name__)

LOG_SECONDS = 10.0
WARM = 3  # steps before one is captured as a CUDA graph
GRAPHS = 4  # that are kept; most steps have all runs, the last of an epoch fewer

Runs = tuple[int, ...]  # numbers of the runs that take part in a step


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
        optimiser: Optimiser of the parameters of all runs.
        stacked: Its parameters, with a first dimension of R.
        own: The same parameters of each run.
    """

    phase: Phase
    optimiser: torch.optim.Optimizer
    stacked: list[nn.Parameter]
    own: list[list[nn.Parameter]] = field(repr=False)

    def update(self, losses: Tensor, runs: Runs) -> None:
        """Update the parameters of some runs by the gradients of their losses (R,)."""
        gradients = torch.autograd.grad(losses.sum(), self.stacked, allow_unused=True)
        # A parameter without gradient is not updated, nor are the moments of its optimiser.
        self.optimiser.zero_grad()
        for number, gradient in enumerate(gradients):
            if gradient is not None:
                of_each = gradient.contiguous().unbind()
                for run in runs:
                    self.own[run][number].grad = of_each[run]
        self.optimiser.step()


class Pack:
    """Several runs as one stacked model.

    Args:
        members: Runs, whose models become views of the stacked model.
        device: Where they are trained.
        graphs: Capture steps as CUDA graphs; without effect on a CPU.
    """

    def __init__(
        self, members: Sequence[Member], device: torch.device, *, graphs: bool = True
    ) -> None:
        self.members, self.device = members, device
        self.data = PackData([member.data for member in members], device)
        self._rows = PackRows()
        seeds = [_noise_seed(member.data.seed) for member in members]
        self.noise = PackNoise(seeds, rows=self.data.rows, drawn=self.data.most, device=device)
        models = [member.model.to(device) for member in members]
        for model in models:
            model.outputs.to("cpu")  # scores are computed there
        network = stack(models, self._rows, self.noise)
        assert isinstance(network, PhasedModel)
        self.network = network
        self.network.source = self.noise
        self._phases = [
            _pack_phase(network, models, number) for number in range(len(network.phases))
        ]
        shape = len(members), self.data.rows
        # Captured steps read these tensors.
        self._batch = (
            torch.zeros(shape, dtype=torch.long, device=device),
            torch.zeros(shape, dtype=torch.long, device=device),
            torch.zeros(shape, device=device),
        )
        self._sums: dict[str, Tensor] = {}
        self._step = _Steps(self._compute, captured=graphs and device.type == "cuda")

    def step(self, batch: Sequence[Tensor], runs: Runs) -> None:
        """Train on a batch.

        Args:
            batch: Arguments of `PackData.batch`.
            runs: Numbers of the runs that are updated.
        """
        for own, new in zip(self._batch, batch, strict=True):
            own.copy_(new)
        if len(runs) < len(self.members):
            absent = [run for run in range(len(self.members)) if run not in runs]
            self._batch[2][absent] = 0.0
        self._step(runs)

    def train_epoch(self, number: int, runs: Runs) -> None:
        """Train some runs for an epoch; their models get the sums over it."""
        self.network.train()
        for sums in self._sums.values():
            sums.zero_()
        seen: Counter[int] = Counter()
        for batch, counts in self.data.epoch(number):
            present = tuple(run for run in runs if counts[run])
            self.step(batch, present)
            seen.update({run: counts[run] for run in present})
        totals = {name: each.cpu() for name, each in self._sums.items()}
        for run in runs:
            model = self.members[run].model
            model.on_train_epoch_start()
            model.add({name: each[run] for name, each in totals.items()}, seen[run])

    @torch.no_grad()
    def validate(self, runs: Runs) -> None:
        """Let the models of some runs score their validation splits."""
        self.network.eval()
        for run in runs:
            self.members[run].model.on_validation_epoch_start()
        for parts in self.data.validation_parts():
            ((arguments, counts),) = parts
            self._rows.weights = arguments[2]
            batch = self.data.batch(*arguments)
            predicted = self.network.outputs.predict(self.network(batch)).cpu()
            sums, y = self.network.validation_sums(batch), batch.y.cpu()
            sums = None if sums is None else sums.cpu()
            for run in runs:
                if count := counts[run]:
                    own = None if sums is None else sums[run]
                    model = self.members[run].model
                    model.add_validation(predicted[run, :count], y[run, :count], own)

    def _compute(self, runs: Runs) -> None:
        """Compute a step from the batch that is in place."""
        self.noise.begin_step()
        self._rows.weights = self._batch[2]
        batch = self.data.batch(*self._batch)
        counts = (self._batch[2] > 0).sum(dim=1)
        sums: dict[str, Tensor] = {}
        shared = self.network.draw(batch)
        for part in self._phases:
            losses, shared = part.phase.compute(batch, shared)
            part.update(losses, runs)
            sums[f"train/{part.phase.name}_loss"] = losses.detach() * counts
        with torch.no_grad():
            sums |= self.network.observe(batch, shared)
        for name, value in sums.items():
            if name in self._sums:
                self._sums[name] += value  # in place, because it may be captured
            else:
                self._sums[name] = value.clone()


class _Steps:
    """Steps that are captured as CUDA graphs, one for each set of runs that take part.

    Args:
        compute: Computes a step of some runs.
        captured: Whether to capture; False: each step is computed anew.
    """

    def __init__(self, compute: Callable[[Runs], None], *, captured: bool) -> None:
        self._compute, self._captured = compute, captured
        self._done: Counter[Runs] = Counter()
        self._graphs: dict[Runs, torch.cuda.CUDAGraph] = {}
        self._stream = torch.cuda.Stream() if captured else None

    def __call__(self, runs: Runs) -> None:
        if runs in self._graphs:
            self._graphs[runs].replay()
        elif self._stream is None:
            self._compute(runs)
        elif self._done[runs] < WARM:
            self._done[runs] += 1
            self._compute_aside(self._stream, runs)
        else:
            self._capture(runs)

    def _compute_aside(self, stream: torch.cuda.Stream, runs: Runs) -> None:
        """Compute a step on another stream, as torch asks for before a capture."""
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._compute(runs)
        torch.cuda.current_stream().wait_stream(stream)

    def _capture(self, runs: Runs) -> None:
        """Capture a step, and run it; what cannot be captured is computed step by step."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._compute(runs)
        except RuntimeError as error:
            log.warning("steps are not captured as CUDA graphs: %s", str(error).partition("\n")[0])
            self._stream = None
            self._graphs.clear()
            self._compute(runs)
            return
        if len(self._graphs) == GRAPHS:
            del self._graphs[next(iter(self._graphs))]
        self._graphs[runs] = graph
        graph.replay()


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
        if training.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as Lightning does
        torch.use_deterministic_algorithms(training.deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        _train(Pack(members, device), training.max_epochs)
    for member in members:
        member.model.cpu()
        if member.error is None:
            member.model.load_state_dict(member.selection.weights)


def _train(pack: Pack, max_epochs: int) -> None:
    """Train all runs of a pack, each until its training ends."""
    members = pack.members
    epochs = members[0].selection.max_epochs or max_epochs
    runs: Runs = tuple(range(len(members)))
    logged = time.monotonic()
    for epoch in range(epochs):
        pack.train_epoch(epoch, runs)
        pack.validate(runs)
        runs = tuple(run for run in runs if _goes_on(members[run]))
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
