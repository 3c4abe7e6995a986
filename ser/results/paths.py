"""The names and paths of the files of a run."""

from dataclasses import dataclass
from pathlib import Path

from ser.results.result_folder import EvaluationFolder, ResultFolder

RESULT, UNFINISHED, FAILURE = "result.json", "unfinished.json", "failure.json"
METRICS, COST = "metrics.csv", "cost.json"
HYDRA, LOG = ".hydra", "train.log"
CHECKPOINTS, REPRESENTATION, EVALUATED = "checkpoints", "representation", "evaluated"
FITTED, CODES, SEGMENT_CODES = "fitted.json", "codes.csv", "codes.npz"
FITTED_KEYS = "fitted_keys.txt"


@dataclass(frozen=True)
class RunPaths(ResultFolder):
    """The paths of the files in the folder of a run."""

    RECORD = RESULT
    REMEDY = "train the run again with force=true"

    def _names(self) -> list[str]:
        # Among the logs of loggers, only what this project reads.
        files = [
            file
            for folder in (self.checkpoints, self.representation)
            for file in folder.rglob("*")
            if file.is_file() and file != self.last_checkpoint and file.suffix != ".part"
        ]
        return [*super()._names(), METRICS, *(str(f.relative_to(self.path)) for f in files)]

    @property
    def config_file(self) -> Path:
        return self.path / HYDRA / "config.yaml"

    @property
    def choices_file(self) -> Path:
        """Hydra's own configuration, with the choice of every config group."""
        return self.path / HYDRA / "hydra.yaml"

    @property
    def overrides_file(self) -> Path:
        return self.path / HYDRA / "overrides.yaml"

    @property
    def log_file(self) -> Path:
        return self.path / LOG

    @property
    def metrics_file(self) -> Path:
        return self.path / METRICS

    @property
    def cost_file(self) -> Path:
        return self.path / COST

    @property
    def unfinished_file(self) -> Path:
        return self.path / UNFINISHED

    @property
    def failure_file(self) -> Path:
        return self.path / FAILURE

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def best_network(self) -> Path:
        return self.checkpoints / "best.ckpt"

    @property
    def best_estimator(self) -> Path:
        return self.checkpoints / "best.skops"

    @property
    def last_checkpoint(self) -> Path:
        return self.checkpoints / "last.ckpt"

    @property
    def representation(self) -> Path:
        return self.path / REPRESENTATION

    @property
    def fitted_file(self) -> Path:
        """Facts of the fitted representation."""
        return self.representation / FITTED

    @property
    def fitted_keys_file(self) -> Path:
        """Keys of the shared fits that the run has used."""
        return self.path / FITTED_KEYS

    @property
    def codes_file(self) -> Path:
        """Codes of utterances."""
        return self.representation / CODES

    @property
    def segment_codes_file(self) -> Path:
        """Codes of some segments, where the model sees segments one by one."""
        return self.representation / SEGMENT_CODES

    @property
    def latents(self) -> Path:
        return self.path / "latents"

    def evaluation(self, corpus: str) -> EvaluationFolder:
        """Return the folder of this run's results on another corpus."""
        return EvaluationFolder(self.path / EVALUATED / corpus)

    def corrupted(self, corpus: str, corruption: str) -> EvaluationFolder:
        """Return the folder of this run's results on corrupted audio of a corpus, also its own."""
        return EvaluationFolder(self.path / EVALUATED / corpus / corruption)

    def all_corrupted(self) -> list[EvaluationFolder]:
        """Return the folders of finished evaluations on corrupted audio, sorted by path."""
        files = (self.path / EVALUATED).glob(f"*/*/{EvaluationFolder.RECORD}")
        return [EvaluationFolder(file.parent) for file in sorted(files)]

    def evaluations(self) -> list[EvaluationFolder]:
        """Return the folders of finished evaluations, sorted by corpus."""
        files = (self.path / EVALUATED).glob(f"*/{EvaluationFolder.RECORD}")
        return [EvaluationFolder(file.parent) for file in sorted(files)]
