"""The runs of grids, their folders and the names of their systems."""

from collections import defaultdict
from functools import cache
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from ser.config import CONF, choices, run_key
from ser.config.run_key import register_resolvers
from ser.errors import UserError
from ser.results import RESULT, write_json
from ser.sweeps import grid
from ser.sweeps.jobs import with_multirun, with_swept_options
from ser.sweeps.planned import PlannedRun
from ser.sweeps.system import System, variant

# Number of runs, and number of runs per fold and seed.
GRIDS = {
    "demo": (8, 2),
    "benchmark": (165, 15),
    "benchmark_attributes": (495, 45),
    "benchmark_frames": (5, 1),
    "emodb_table1": (210, 7),
    "encoders": (115, 9),
    "encoders_few_labels": (75, 5),
    "encoders_frames": (15, 3),
    "encoders_layers": (30, 6),
    "emodb_sahu2017_table1": (75, 5),
    "emodb_sahu2017_table2": (45, 3),
    "emodb_latif2017_table1": (45, 3),
    "emodb_latif2018_table1": (60, 4),
    "emodb_latif2018_oracle": (45, 3),
    "emodb_latif2018_figure2": (225, 15),
    "latif2017_table1": (135, 9),
    "latif2018_table1": (180, 12),
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
    "parthasarathy2019_table1": (2100, 21),
    "parthasarathy2019_ablations": (2100, 21),
    "parthasarathy2019_bins": (360, 12),
}
# Number of systems without random numbers, which are trained with the first seed only.
ONE_SEED = {"benchmark": 6, "benchmark_attributes": 6, "encoders": 2, "encoders_layers": 6}


def compose_alone(*overrides: str) -> DictConfig:
    """Hydra's own composition of one run."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", list(overrides), return_hydra_config=True)


def folder_of_single_run(*overrides: str) -> Path:
    """The folder of a run that is composed by itself."""
    sweep = compose_alone(*overrides).hydra.sweep
    return Path(sweep.dir, sweep.subdir)


def require_composed_by_hydra(run: PlannedRun) -> None:
    """Compare a run of a grid, whose systems are composed once, with Hydra's own composition."""
    cfg = compose_alone(*run.overrides)
    assert run.folder == Path(cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir)
    assert (run.choices, run.variant) == (cfg.hydra.runtime.choices, variant(cfg))
    assert (run.fold, run.seed) == (cfg.fold.index, cfg.seed)


def is_large(name: str) -> bool:
    return GRIDS[name][0] > 3 and name != "demo"


def targets_of(name: str) -> list[str]:
    """The targets that a grid sweeps over."""
    content = yaml.safe_load((CONF / "grid" / f"{name}.yaml").read_text())
    # A grid on another corpus inherits its parameters.
    params = content["hydra"]["sweeper"]["params"] if "hydra" in content else {}
    return params.get("target", "").split(",")


@cache
def compose_named(name: str) -> grid.Grid:
    """Compose a grid once; of a large one only two seeds, one fold and the last target.

    To count the folds needs the corpus, which is often not available.
    """
    target = [f"target={each}" for each in targets_of(name)[-1:] if each]
    narrowed = ["seed=0,1", "fold.index=0", *target] if is_large(name) else []
    return grid.compose_grid([f"grid={name}", *narrowed])


def test_every_grid_is_listed_here() -> None:
    assert sorted(GRIDS) == sorted(path.stem for path in (CONF / "grid").glob("*.yaml"))


@pytest.mark.parametrize("name", GRIDS)
def test_grid_has_expected_runs_and_states_its_command(name: str) -> None:
    count, per_fold_and_seed = GRIDS[name]
    composed = compose_named(name)
    assert composed.name == name
    assert len({run.folder for run in composed.runs}) == len(composed.runs)
    assert set(targets_of(name)) <= {"", *choices("target")}
    per_target = per_fold_and_seed // len(targets_of(name))
    seeds = 2 * per_target - ONE_SEED.get(name, 0)
    assert len(composed.runs) == (seeds if is_large(name) else count)
    for run in (composed.runs[1], composed.runs[-1]):  # the second and the last are not the first
        require_composed_by_hydra(run)
    # A figure of codes compares no scores.
    systems = {run.system for run in composed.runs}
    assert composed.tsne or composed.baseline in systems
    header = (CONF / "grid" / f"{name}.yaml").read_text()
    assert f"python train.py grid={name}" in header
    assert f"python -m ser report grid={name}" in header
    report = yaml.safe_load(header).get("report", {})
    # Pairs with an unknown system would be missing.
    assert len(composed.comparisons) >= len(report.get("comparisons", []))


def test_systems_without_random_numbers_are_trained_with_the_first_seed_alone() -> None:
    systems = ["experiment=benchmark/svm,benchmark/mlp", "fold.index=0,1"]
    seeds: dict[str, list[int]] = defaultdict(list)
    for run in grid.compose_grid([*systems, "seed=4,2"]).runs:
        seeds[run.choices["model"]].append(run.seed)
    assert seeds == {"svm": [4] * 2, "mlp": [4, 2] * 2}
    assert len(grid.compose_grid(["experiment=benchmark/svm", "seed=2,4", "seeds=all"]).runs) == 2


def test_grids_have_all_folds_of_the_corpus(few: list[str], emodb_root: Path) -> None:
    name = "emodb_latif2018_oracle"
    composed = grid.compose_grid([f"grid={name}", f"corpus.root={emodb_root}"])
    assert len({run.folder for run in composed.runs}) == GRIDS[name][0]
    assert {run.fold for run in composed.runs} == set(range(5))
    # A corpus without pairs of speakers in sessions has other folds, and others in number.
    paper = ["experiment=parthasarathy2019/utterance_baseline", "target=activation", "seed=0"]
    for options, fold, count in (
        ([], "speaker_kfold", 5),
        (["fold.count=4"], "speaker_kfold", 4),
        (["fold=loso"], "loso", 10),
    ):
        runs = grid.compose_grid(["grid=parthasarathy2019_table1", *few, *paper, *options]).runs
        assert [run.fold for run in runs] == list(range(count))
        for run in runs:
            assert run.choices["fold"] == fold
            assert run.folder.parent.name == f"{fold}-{run.fold}"
            assert f"fold.index={run.fold}" in run.overrides
    assert runs[3].folder == folder_of_single_run(*runs[3].overrides)


def test_all_folds_of_a_corpus_that_is_elsewhere_are_those_of_a_finished_run(
    few: list[str], tmp_path: Path
) -> None:
    overrides = ["corpus=emodb", "corpus.root=nowhere", "model=svm", f"hydra.sweep.dir={tmp_path}"]
    with pytest.raises(UserError, match="fold.index=all needs the corpus .*nowhere does not exist"):
        grid.compose_grid([*overrides, "fold.index=all"])
    (run,) = grid.compose_grid([*overrides, "fold.index=3"]).runs
    run.folder.mkdir(parents=True)
    write_json(run.folder / RESULT, {"fold_count": 10})
    composed = grid.compose_grid([*overrides, "fold.index=all", "seed=0,1"])
    assert [(run.fold, run.seed) for run in composed.runs] == [
        *((fold, seed) for seed in (0, 1) for fold in range(10))
    ]
    assert run.folder in {each.folder for each in composed.runs}
    with pytest.raises(UserError, match="trainer.max_epochs=-1"):
        grid.compose_grid(["corpus=emodb", "trainer.max_epochs=-1", "fold.index=all"])


def test_all_folds_are_a_multirun() -> None:
    assert with_multirun(["fold.index=all"]) == ["fold.index=all", "-m"]
    for arguments in (["-m", "fold.index=all"], ["fold.index=0"], []):
        assert with_multirun(arguments) == arguments


@pytest.mark.parametrize("sweep", ["grid=parthasarathy2019_table1", "target=activation,valence"])
def test_options_of_swept_groups_can_be_set(sweep: str) -> None:
    """`target=emotion`, the default, has no `bins`."""
    options = ["corpus=emotale", "fold.index=0", "seed=0"]
    classes = grid.compose_grid([sweep, *options]).runs
    values = grid.compose_grid([sweep, *options, "target.bins=null"]).runs
    assert {run.choices["target"] for run in values} >= {"activation", "valence"}
    assert len(values) == len(classes)
    assert {run.variant for run in values}.isdisjoint(run.variant for run in classes)
    assert {run.system for run in values} == {run.system for run in classes}
    fixed = ["grid=demo", "target=activation", "trainer.max_epochs=2"]
    assert with_swept_options(fixed) == fixed


def test_autoencoders_are_compared_with_their_encoders_alone() -> None:
    pairs = ("utterance_aae", "utterance_encoder_alone"), ("frame_aae", "frame_encoder_alone")
    for name in ("parthasarathy2019_table1", "emodb_table1"):
        assert compose_named(name).comparisons == pairs
    assert pairs[0] in compose_named("parthasarathy2019_ablations").comparisons
    narrowed = ["grid=emodb_table1", "seed=0", "fold.index=0"]
    narrowed.append("experiment=emodb/utterance_aae,emodb/utterance_encoder_alone")
    assert grid.compose_grid(narrowed).comparisons == pairs[:1]
    named = grid.compose_grid([*narrowed, "report.comparisons=[[utterance_aae,typo]]"])
    assert named.comparisons == (("utterance_aae", "typo"),)  # an error of the report


@pytest.mark.parametrize("text", ["aae", "[aae, mlp]", "[[aae]]", "[[aae, mlp], 1]", "[", "{a: b}"])
def test_comparisons_are_pairs(text: str) -> None:
    assert grid.parse_comparisons("[[aae, mlp], [cnn, mlp]]") == (("aae", "mlp"), ("cnn", "mlp"))
    with pytest.raises(UserError, match=r"expected a list of pairs.*\[\[aae,mlp\],\[aae,cnn\]\]"):
        grid.parse_comparisons(text)
    with pytest.raises(UserError, match="aae cannot be compared with itself"):
        grid.parse_comparisons([["aae", "aae"]])


@pytest.mark.parametrize(
    "option",
    [
        "fold.split_seed=${seed}",  # one option
        "target.labelled_seed=${seed}",
        "trainer.patience=${oc.select:fold.index}",
        "data.mixup=${trainer.patience}",  # by way of another option
        "model.encoder.hidden=[${seed}, 8]",
        "paper={key: x, published: '${fold}'}",  # a part with the option in it
        "hydra.sweep.subdir=${seed}/${fold.index}/${run_name:}",
        "hydra.sweep.dir=${fold.split_seed}-${seed}",
        "target.classes=${oc.dict.values:fold}",
    ],
)
def test_options_that_depend_on_seed_and_fold_are_those_of_each_run(option: str) -> None:
    others = ["trainer.patience=${seed}"] if "patience}" in option else []
    fixed = ["fold=random", *others, option]
    system = System(compose_alone(*fixed, "seed=1", "fold.index=1"))
    for seed, fold in ((1, 1), (2, 3)):
        cfg = compose_alone(*fixed, f"seed={seed}", f"fold.index={fold}")
        system.cfg.seed, system.cfg.fold.index = seed, fold
        assert system.options == run_key.result_options(cfg)
        assert system.folder == Path(cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir)
        assert [system.cfg[key] for key in cfg if key != "hydra"] == [
            cfg[key] for key in cfg if key != "hydra"
        ]


def test_a_system_without_such_options_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(compose_alone("seed=1"))
    monkeypatch.setattr(run_key, "result_options", Mock(wraps=run_key.result_options))
    folders = []
    for seed in range(3):
        system.cfg.seed = seed
        folders.append(system.folder)
    assert run_key.result_options.call_count == 1  # type: ignore[attr-defined]
    assert len(set(folders)) == 3


def test_multirun_without_grid_has_the_same_folders() -> None:
    plain = grid.compose_grid(["model=mlp,aae", "fold.index=range(2)", "seed=0,1"])
    assert {run.folder for run in plain.runs} == {run.folder for run in compose_named("demo").runs}
    assert plain.baseline is None


def test_systems_on_emodb_differ_from_the_papers_in_data_only() -> None:
    for name in ("utterance_aae", "frame_baseline"):
        features = "lld" if name.startswith("frame") else "functionals"
        data = ["corpus=emodb", "target=emotion", f"features={features}"]
        assert folder_of_single_run(f"experiment=emodb/{name}") == folder_of_single_run(
            f"experiment=parthasarathy2019/{name}", *data
        )


def test_system_names_contain_the_options_that_vary() -> None:
    def systems(*overrides: str) -> set[str]:
        return {run.system for run in grid.compose_grid(list(overrides)).runs}

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


def test_planned_run_has_the_published_scores() -> None:
    (run,) = grid.compose_grid(
        ["experiment=parthasarathy2019/utterance_aae", "corpus=iemocap", "corpus.root=x"]
    ).runs
    assert run.paper is not None
    assert run.paper["published"]["valence"] == {"ua": 62.14, "sd": 0.64}


def test_figure_over_sizes_has_no_published_score() -> None:
    for name in ("latif2018_figure2", "latif2018_figure2_attributes"):
        composed = compose_named(name)
        sizes = {run.system.rpartition("=")[2] for run in composed.runs}
        assert sizes == {"32", "64", "128", "256", "512"}
        assert all(run.paper and run.paper["published"] is None for run in composed.runs)


def test_figure_and_table_share_runs_of_the_same_size() -> None:
    table, figure = (compose_named(f"latif2018_{name}").runs for name in ("table1", "figure2"))
    of_table = {
        run.folder
        for run in table
        if run.choices["target"] == "emotion" and run.fold == 0 and run.seed in (0, 1)
        if run.system != "vae_lstm_means"
    }
    assert of_table == {run.folder for run in figure if run.system.endswith("=128")}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["grid=demmo"], "did you mean grid=demo"),
        (["experiment=glob(nowhere/*)"], "no run is selected"),
        (["grid=demo", "trainer.max_epoch=3"], "did you mean trainer.max_epochs"),
        (["seed=abc"], "seed=abc: must be a whole number"),
    ],
)
def test_wrong_override_raises_a_clear_error(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        grid.compose_grid(overrides)


def test_folder_without_runs_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no runs"):
        grid.find_runs(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(UserError, match=r"\.hydra.* is missing"):
        grid.find_runs(tmp_path)


def test_planned_run_has_the_options_that_vary() -> None:
    codes = ["features=logmel80", "representation=vae", "model=lstm"]
    composed = grid.compose_grid([*codes, "representation.size=64,128", "seed=0,1"])
    assert {(run.system, *run.varied.items()) for run in composed.runs} == {
        (f"vae-lstm representation.size={size}", ("representation.size", size))
        for size in ("64", "128")
    }


def test_manifests_of_equal_name_and_other_content_have_different_folders(tmp_path: Path) -> None:
    def folder(root: Path) -> Path:
        overrides = ["corpus=manifest", f"corpus.root={root}"]
        (run,) = grid.compose_grid(overrides).runs
        assert run.folder == folder_of_single_run(*overrides)
        return run.folder

    roots = [tmp_path / name / "m.csv" for name in ("a", "b", "c")]
    for root, text in zip(roots, ("file,speaker\n", "file,speaker\nx,y\n", ""), strict=True):
        root.parent.mkdir()
        root.write_text(text)
    assert len({folder(root) for root in roots}) == 3
    before = folder(roots[0])
    roots[2].write_text("file,speaker\n")
    assert folder(roots[2]) == before  # the same content elsewhere is the same run
    assert before.parts[2].startswith("manifest")
    assert before.parts[3].startswith("m-")
    roots[0].write_text("file,speaker,emotion\n")
    assert folder(roots[0]) != before


def test_folders_of_corpora_that_are_folders_are_named_after_the_corpus(tmp_path: Path) -> None:
    parts = folder_of_single_run("corpus=emodb", f"corpus.root={tmp_path}").parts
    assert parts[:-1] == (
        "outputs",
        "runs",
        "emodb",
        "emotion",
        "functionals",
        "mlp",
        "session_swap-0",
    )
