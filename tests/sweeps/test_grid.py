"""Which runs a grid has, where they lie and what their systems are called."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from ser.config import CONF
from ser.config.run_key import register_resolvers
from ser.errors import UserError
from ser.sweeps import grid

# How many runs, and how many of one fold and seed.
GRIDS = {
    "demo": (8, 2),
    "emodb_table1": (150, 5),
    "emodb_sahu2017_table1": (75, 5),
    "emodb_sahu2017_table2": (45, 3),
    "emodb_latif2017_table1": (45, 3),
    "emodb_latif2018_table1": (45, 3),
    "emodb_latif2018_oracle": (45, 3),
    "emodb_latif2018_figure2": (225, 15),
    "latif2017_table1": (135, 9),
    "latif2018_table1": (135, 9),
    "latif2018_table2": (270, 9),
    "latif2018_table2_independent": (135, 9),
    "latif2018_oracle": (45, 3),
    "latif2018_figure2": (225, 15),
    "latif2018_figure2_attributes": (450, 45),
    "sahu2017_table1": (75, 5),
    "sahu2017_table2": (45, 3),
    "ghosh2016_figure1": (3, 3),
    "ghosh2016_figure2": (3, 3),
    "emodb_ghosh2016_figure1": (3, 3),
    "emodb_ghosh2016_figure2": (3, 3),
    "ghosh2016_table1": (39, 13),
    "ghosh2016_table2": (120, 4),
    "emodb_ghosh2016_table1": (39, 13),
    "emodb_ghosh2016_table2": (60, 4),
    "parthasarathy2019_table1": (1500, 15),
    "parthasarathy2019_ablations": (1800, 18),
}


def alone(*overrides: str) -> Path:
    """Where Hydra puts a run that is composed for itself."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return grid.folder_of(compose("train", list(overrides), return_hydra_config=True))


def test_every_grid_is_known_here() -> None:
    assert sorted(GRIDS) == sorted(path.stem for path in (CONF / "grid").glob("*.yaml"))


@pytest.mark.parametrize("name", GRIDS)
def test_every_grid_has_its_runs_and_says_its_command(name: str) -> None:
    count, alike = GRIDS[name]
    narrowed = ["seed=0,1", "fold.index=0"] if count > 200 else []
    found = grid.composed([f"grid={name}", *narrowed])
    assert found.name == name
    assert len({run.folder for run in found.runs}) == len(found.runs)
    assert len(found.runs) == (2 * alike if narrowed else count)
    # A figure of codes compares no scores.
    assert found.tsne or found.baseline in {run.system for run in found.runs}
    header = (CONF / "grid" / f"{name}.yaml").read_text()
    assert f"python train.py grid={name}" in header
    assert f"python -m ser report grid={name}" in header


def test_folders_are_those_of_runs_composed_one_by_one() -> None:
    found = grid.composed(["grid=demo", "seed=0,3", "trainer.max_epochs=2"])
    for run in (found.runs[0], found.runs[-1]):
        assert run.folder == alone(*run.overrides)
        assert f"seed={run.seed}" in run.overrides
        assert f"fold.index={run.fold}" in run.overrides


def test_a_plain_multirun_has_the_same_folders_as_a_grid() -> None:
    plain = grid.composed(["model=mlp,aae", "fold.index=range(2)", "seed=0,1"])
    assert {run.folder for run in plain.runs} == {
        run.folder for run in grid.composed(["grid=demo"]).runs
    }
    assert plain.baseline is None


def test_what_emodb_has_is_the_papers_systems_but_for_data() -> None:
    """Corpus, target and features differ, and nothing else."""
    for name in ("utterance_aae", "frame_baseline"):
        features = "lld" if name.startswith("frame") else "functionals"
        data = ["corpus=emodb", "target=emotion", f"features={features}"]
        assert alone(f"experiment=emodb/{name}") == alone(
            f"experiment=parthasarathy2019/{name}", *data
        )


def test_systems_are_named_by_what_varies() -> None:
    def systems(*overrides: str) -> set[str]:
        return {run.system for run in grid.composed(list(overrides)).runs}

    assert systems("model=mlp,svm", "corpus.root=x", "logger=wandb") == {"mlp", "svm"}
    assert systems("model=svm", "features=is10,functionals") == {
        "svm features=is10",
        "svm features=functionals",
    }
    assert systems(
        "experiment=parthasarathy2019/utterance_aae,parthasarathy2019/utterance_aae_vanilla",
        "target=activation,valence",
    ) == {"utterance_aae", "utterance_aae_vanilla"}
    assert systems("model=svm", "representation=identity,pca") == {"svm", "pca-svm"}


def test_published_scores_come_along() -> None:
    (run,) = grid.composed(
        ["experiment=parthasarathy2019/utterance_aae", "corpus=iemocap", "corpus.root=x"]
    ).runs
    assert run.paper is not None
    assert run.paper["published"]["valence"] == {"ua": 62.14, "sd": 0.64}


def test_a_figure_over_sizes_shows_no_score_that_is_published_of_one_of_them() -> None:
    for name in ("latif2018_figure2", "latif2018_figure2_attributes"):
        found = grid.composed([f"grid={name}", "seed=0", "fold.index=0"])
        sizes = {run.system.rpartition("=")[2] for run in found.runs}
        assert sizes == {"32", "64", "128", "256", "512"}
        assert all(run.paper and run.paper["published"] is None for run in found.runs)


def test_runs_of_a_figure_at_the_table_s_size_are_the_table_s() -> None:
    at_128 = [f"grid=latif2018_{name}" for name in ("table1", "figure2")]
    options = ["seed=0", "fold.index=0"]
    table, figure = (grid.composed([name, *options]).runs for name in at_128)
    of_table = {run.folder for run in table if run.names["target"] == "emotion"}
    assert of_table == {run.folder for run in figure if run.system.endswith("=128")}


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["grid=demmo"], "did you mean grid=demo"),
        (["experiment=glob(nowhere/*)"], "no run at all"),
        (["grid=demo", "trainer.max_epoch=3"], "did you mean max_epochs"),
    ],
)
def test_mistakes_are_told(overrides: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        grid.composed(overrides)


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no runs"):
        grid.in_folder(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(UserError, match=r"\.hydra.* is missing"):
        grid.in_folder(tmp_path)


def test_a_swept_option_is_known_apart_from_the_name() -> None:
    codes = ["features=logmel80", "representation=vae", "model=lstm"]
    found = grid.composed([*codes, "representation.size=64,128", "seed=0,1"])
    told = {(run.system, *run.varied.items()) for run in found.runs}
    assert told == {
        (f"vae-lstm representation.size={size}", ("representation.size", size))
        for size in ("64", "128")
    }
