"""Experiments of ghosh2016."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from ser.config import CONF
from ser.config.checks import check
from ser.config.run_key import result_options
from ser.sweeps import grid as grids

Compose = Callable[..., DictConfig]

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment/ghosh2016").glob("*.yaml"))
FIGURE_2 = [name for name in EXPERIMENTS if name.startswith("recurrent_")]
TABLES = [name for name in EXPERIMENTS if name not in FIGURE_2]

# Widths of input, hidden layers and code in table 1, except for the plain softmax.
WIDTHS = {
    "513_1": [513, 256, 128, 64],
    "128_1": [128, 64, 32],
    "128_5": [640, 320, 160, 80],
    "mel_5": [200, 100, 50],
}


@pytest.mark.parametrize("experiment", TABLES)
def test_every_experiment_has_the_pyramid_and_training_of_the_paper(
    experiment: str, composed: Compose
) -> None:
    cfg = composed(f"experiment=ghosh2016/{experiment}", "corpus=iemocap")
    check(cfg)
    assert (cfg.paper.key, cfg.paper.corpus, cfg.data.batch_size) == ("ghosh2016", "iemocap", 500)
    assert (cfg.target.merge, cfg.target.min_agreement) == (None, 2)
    assert list(cfg.target.classes) == ["anger", "happiness", "neutral", "sadness"]
    assert (cfg.fit_on == "train") is (cfg.representation is not None)
    header = (CONF / "experiment/ghosh2016" / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment=ghosh2016/{experiment} corpus=iemocap" in header
    frames = cfg.segments.past + 1 + cfg.segments.future
    if cfg.paper.table == 1:
        assert (cfg.fold.train, cfg.fold.val, cfg.fold.test, cfg.paper.part) == (7, 3, 0, "val")
        # Training stops by its own loss, because the validation scores are reported.
        assert cfg.trainer.stopping.phases == ["classification"]
        assert cfg.model.encoder.hidden == []
    if cfg.representation is None:
        return
    kind, _, shape = experiment.removeprefix("mlp_").partition("_")
    representation = cfg.representation
    module = representation.module
    widths = [frames * cfg.features.dim, *module.hidden, representation.size]
    assert widths == WIDTHS[shape]
    assert (representation.batch_size, module.corruption) == (500, 0.2)
    assert (module.optimiser.lr, module.optimiser.weight_decay) == (1e-4, 1e-4)
    assert module._target_.rpartition(".")[2] == ("Deep" if kind == "deep" else "Stacked")
    assert module.get("tied") is {"tied": True, "untied": False, "deep": None}[kind]
    epochs = 5 if kind == "deep" else 5 * (len(widths) - 1)
    assert representation.stopping.max_epochs == epochs


@pytest.mark.parametrize(
    "experiment", ["tied_128_5", "softmax_mel_1", "mlp_tied_128_5", "recurrent_tied_513_1"]
)
def test_protocol_for_emodb_changes_the_target_only(experiment: str, composed: Compose) -> None:
    cfg = composed(f"experiment=ghosh2016/{experiment}", "corpus=emodb", "protocol=emodb_ghosh2016")
    check(cfg)
    assert cfg.paper.published is None
    adapted = result_options(cfg)
    paper = result_options(composed(f"experiment=ghosh2016/{experiment}", "corpus=iemocap"))
    assert adapted.pop("corpus") != paper.pop("corpus")
    assert adapted == paper | {"target": paper["target"] | {"merge": {}, "min_agreement": 0}}


@pytest.mark.parametrize("experiment", FIGURE_2)
def test_figure_2_fits_recurrent_autoencoders_to_the_codes_of_figure_1(
    experiment: str, composed: Compose
) -> None:
    cfg = composed(f"experiment=ghosh2016/{experiment}", "corpus=iemocap")
    check(cfg)
    upper = cfg.representation.upper
    assert (upper.size, upper.module.encoder.pooling) == (16, "mean")
    assert (upper.module.optimiser.lr, upper.stopping.max_epochs) == (1e-6, 45)
    assert upper.module.reduction == "sum"
    assert cfg.model.encoder.hidden == []
    name = experiment.removeprefix("recurrent_")
    alone = result_options(composed(f"experiment=ghosh2016/{name}", "corpus=iemocap"))
    stacked = result_options(cfg)
    assert stacked["representation"]["lower"] == alone["representation"]
    for key in ("features", "segments", "target", "fold", "fit_on"):
        assert stacked[key] == alone[key]


@pytest.mark.parametrize("prefix", ["", "emodb_"])
@pytest.mark.parametrize("figure", [1, 2])
def test_figures_are_three_runs_drawn_by_t_sne(prefix: str, figure: int) -> None:
    grid = grids.compose_grid([f"grid={prefix}ghosh2016_figure{figure}", "corpus.root=nowhere"])
    assert grid.tsne
    systems = ["deep_mel_5", "tied_128_5", "tied_513_1"]
    if figure == 2:
        systems = [f"recurrent_{name}" for name in systems]
    assert [run.system for run in grid.runs] == systems
    assert {(run.seed, run.fold) for run in grid.runs} == {(0, 0)}
