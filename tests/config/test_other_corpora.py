"""Experiments and grids of the papers on a corpus that is not the paper's."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from ser.config.checks import check
from ser.sweeps.grid import compose_grid

Compose = Callable[..., DictConfig]


@pytest.mark.parametrize(
    "experiment",
    [
        "ghosh2016/mlp_tied_128_5",
        "latif2017/ae_lstm",
        "latif2018/cvae_lstm",
        "parthasarathy2019/frame_aae",
        "sahu2017/compression_lda",
    ],
)
def test_experiments_use_the_classes_of_the_corpus(experiment: str, composed: Compose) -> None:
    cfg = composed(f"experiment={experiment}", "corpus=emodb", "target=emotion")
    check(cfg)
    assert len(cfg.target.classes) == 7


def test_grid_of_one_paper_takes_another_corpus_and_one_of_its_targets() -> None:
    narrowed = ["corpus=emodb", "target=emotion", "seed=0", "fold.index=0"]
    grid = compose_grid(["grid=latif2018_table1", *narrowed])
    assert [run.system for run in grid.runs] == [
        "ae_lstm",
        "vae_lstm",
        "vae_lstm_means",
        "cvae_lstm",
    ]
    assert {run.choices["corpus"] for run in grid.runs} == {"emodb"}
    # Without a protocol the runs differ from those with four classes.
    adapted = compose_grid(["grid=emodb_latif2018_table1", *narrowed])
    assert not {run.folder for run in grid.runs} & {run.folder for run in adapted.runs}
