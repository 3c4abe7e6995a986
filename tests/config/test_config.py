"""What is wrong with a config is told before anything is loaded, with what would be right."""

import re

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from ser.config import CONF
from ser.config.checks import check
from ser.config.explain import explain
from ser.config.run_key import digest, identity, register_resolvers
from ser.errors import UserError
from ser.sweeps import grid as grids

GROUPS = (
    "corpus", "target", "features", "fold", "representation", "model", "trainer", "logger", "search"
)  # fmt: skip
YAMLS = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]


OF_SEGMENTS = ("softmax", "pyramid", "dnn_elm")


def composed(*overrides: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.mark.parametrize(("group", "name"), YAMLS)
def test_every_yaml_composes_and_fits_its_target(group: str, name: str) -> None:
    cfg = composed(f"{group}={name}")
    if group == "model" and name in ("cnn", "lstm", "blstm", *OF_SEGMENTS):
        cfg = composed(f"model={name}", "features=lld")
    if group == "representation":  # which may be a list of sizes to choose from
        model = "mlp" if name in ("cvae", "cvae_oracle") else "svm"
        cfg = composed(f"representation={name}", f"model={model}")
    if name == "blstm_autoencoder":
        cfg = composed(f"representation={name}", "features=lld")
    if group == "features" and cfg.features.level != "utterance":
        with pytest.raises(UserError, match="needs utterance-level features"):
            check(cfg)
    else:
        check(cfg)


@pytest.mark.parametrize(
    "experiment", sorted(p.stem for p in (CONF / "experiment/parthasarathy2019").glob("*.yaml"))
)
def test_every_experiment_composes_and_says_what_it_is(experiment: str) -> None:
    cfg = composed(f"experiment=parthasarathy2019/{experiment}")
    check(cfg)
    assert cfg.paper.key == "parthasarathy2019"
    assert cfg.target.name == "activation"
    assert cfg.features.set == "IS13"
    header = (CONF / "experiment/parthasarathy2019" / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment=parthasarathy2019/{experiment} corpus=iemocap" in header


@pytest.mark.parametrize(
    "experiment", sorted(p.stem for p in (CONF / "experiment/emodb").glob("*.yaml"))
)
def test_every_experiment_on_emodb_is_one_of_the_papers(experiment: str) -> None:
    cfg = composed(f"experiment=emodb/{experiment}")
    check(cfg)
    assert cfg.paper.key == "parthasarathy2019"
    assert cfg.paper.published is None
    assert cfg.target._target_ == "ser.data.targets.emotion"
    paper = composed(f"experiment=parthasarathy2019/{experiment}")
    assert identity(cfg)["model"]["_target_"] == identity(paper)["model"]["_target_"]
    header = (CONF / "experiment/emodb" / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment=emodb/{experiment} corpus.root=" in header


SAHU = sorted(p.stem for p in (CONF / "experiment/sahu2017").glob("*.yaml"))


@pytest.mark.parametrize("experiment", SAHU)
def test_every_experiment_of_sahu2017_is_on_its_4490_utterances(experiment: str) -> None:
    cfg = composed(f"experiment=sahu2017/{experiment}", "corpus=iemocap")
    check(cfg)
    assert cfg.target.merge is None  # excitement is no happiness: an empty dict would merge it
    assert list(cfg.target.classes) == ["anger", "happiness", "neutral", "sadness"]
    assert (cfg.features.dim, cfg.fold._target_) == (1582, "ser.data.folds.session")
    assert cfg.model.leave_out == "session"
    assert (cfg.paper.key, cfg.paper.corpus) == ("sahu2017", "iemocap")
    assert 20 < cfg.paper.published.emotion.ua < 60
    header = (CONF / "experiment/sahu2017" / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment=sahu2017/{experiment} corpus=iemocap" in header


@pytest.mark.parametrize("experiment", SAHU)
def test_sahu2017_on_emodb_is_the_paper_s_but_for_what_a_small_corpus_needs(
    experiment: str,
) -> None:
    cfg = composed(f"experiment=emodb_sahu2017/{experiment}")
    check(cfg)
    assert cfg.paper.published is None
    assert len(cfg.target.classes) == 7
    here = identity(cfg)
    paper = identity(composed(f"experiment=sahu2017/{experiment}", "corpus=emodb"))
    for each in (here, paper):
        for name in ("size", "batch_size", "stopping"):
            (each["representation"] or {}).pop(name, None)
    assert here == paper
    header = (CONF / "experiment/emodb_sahu2017" / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment=emodb_sahu2017/{experiment} corpus.root=" in header


def experiments(folder: str) -> list[str]:
    return sorted(p.stem for p in (CONF / "experiment" / folder).glob("*.yaml"))


LATIF = [(key, name) for key in ("latif2017", "latif2018") for name in experiments(key)]


@pytest.mark.parametrize(("key", "experiment"), LATIF)
def test_every_experiment_of_latif_has_the_papers_segments_and_networks(
    key: str, experiment: str
) -> None:
    cfg = composed(f"experiment={key}/{experiment}", "corpus=iemocap")
    check(cfg)
    module, segments = cfg.representation.module, cfg.segments
    assert (segments.frames * cfg.features.dim, segments.hop) == (800, 10)
    assert (list(module.encoder.hidden), list(module.decoder.hidden)) == ([512, 256], [256, 512])
    assert (module.encoder.dropout, module.decoder.dropout) == (0, 0)
    assert (cfg.representation.size, cfg.representation.batch_size) == (128, 128)
    betas = [0.999, 0.99] if experiment.endswith("as_printed") else [0.9, 0.999]
    assert (list(module.optimiser.betas), module.optimiser.eps) == (betas, 1e-8)
    assert cfg.representation.stopping.max_epochs == 50
    assert (cfg.model.encoder.layers, cfg.trainer.max_epochs, cfg.data.batch_size) == (2, 20, 128)
    kind = experiment.split("_")[0]
    assert module._target_.rpartition(".")[2] == {
        "ae": "Autoencoder", "vae": "VAE", "cvae": "CVAE"
    }[kind]  # fmt: skip
    if kind != "ae":
        assert module.code == ("mean" if key == "latif2017" else "mean_and_variance")
    if kind == "cvae":
        readings = {"null": None, "oracle": "oracle"}
        assert module.reading == readings.get(experiment.rpartition("_")[2], "marginal")
    assert (cfg.paper.key, cfg.paper.corpus, cfg.paper.joined) == (key, "iemocap", "fold_mean")
    header = (CONF / "experiment" / key / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment={key}/{experiment} corpus=iemocap" in header


@pytest.mark.parametrize("kind", ["ae", "vae", "cvae"])
def test_latif_s_tables_and_folds(kind: str) -> None:
    def of(name: str, target: str, *more: str) -> DictConfig:
        cfg = composed(f"experiment={name}", "corpus=iemocap", f"target={target}", *more)
        check(cfg)
        return cfg

    for style in ("improvised", "scripted"):
        cfg = of(f"latif2018/{kind}_lstm", f"emotion_{style}")
        assert list(cfg.target.styles) == [style]
        assert set(cfg.paper.published[f"emotion_{style}"]) == {"wa", "ua"}
    for key, fold in (("latif2017", "holdout"), ("latif2018", "session")):
        cfg = of(f"{key}/{kind}_lstm", "emotion")
        assert cfg.target.merge == {"excitement": "happiness"}
        assert cfg.fold._target_ == f"ser.data.folds.{fold}"
        assert 50 < cfg.paper.published.emotion.wa < 65
    for attribute in ("activation", "dominance", "valence"):
        here = of(f"latif2018/{kind}_lstm_attributes", attribute)
        apart = of(f"latif2018/{kind}_lstm_attributes_independent", attribute)
        assert here.target.bins == apart.target.bins == "strict"
        assert set(here.paper.published[attribute]) == {"f1"}
        assert apart.paper.published is None
        assert (here.fold._target_, here.fold.count) == ("ser.data.folds.random", 10)
        assert apart.fold._target_ == "ser.data.folds.session"


ON_EMODB = [
    (key, name) for key in ("latif2017", "latif2018") for name in experiments(f"emodb_{key}")
]


@pytest.mark.parametrize(("key", "experiment"), ON_EMODB)
def test_latif_on_emodb_is_the_paper_s_but_for_what_a_small_corpus_needs(
    key: str, experiment: str
) -> None:
    cfg = composed(f"experiment=emodb_{key}/{experiment}")
    check(cfg)
    assert cfg.paper.published is None
    assert list(cfg.target.classes) == ["anger", "happiness", "neutral", "sadness"]
    here = identity(cfg)
    options = ["corpus=emodb", "target.classes=[anger,happiness,neutral,sadness]", "fold=session"]
    paper = identity(composed(f"experiment={key}/{experiment}", *options))
    for each in (here, paper):
        del each["data"]["batch_size"], each["representation"]["batch_size"]
    assert here == paper
    header = (CONF / f"experiment/emodb_{key}" / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment=emodb_{key}/{experiment} corpus.root=" in header


def test_segments_are_part_of_a_run_s_identity_where_something_is_cut() -> None:
    for options in ([], ["model=svm", "representation=pca"], ["model=lstm", "features=lld"]):
        assert "segments" not in identity(composed(*options))
    sequence = ["features=logmel80", "representation=vae", "model=lstm"]
    assert identity(composed(*sequence))["segments"]["hop"] == 10
    assert identity(composed(*sequence)) != identity(composed(*sequence, "segments.hop=5"))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["representation=lda", "features=lld", "model=lstm"], "needs utterance-level features"),
        (["representation=vae", "features=lld"], "MLPEncoder needs utterance-level"),
        (["representation=vae", "model=lstm"], "LSTMEncoder needs frame-level"),
        (["features=lld", "model=mlp"], "needs utterance-level"),
        (["model=softmax"], "Pyramid needs frame-level features, and these are utterance-level"),
        (["representation=blstm_autoencoder"], "needs frame-level features"),
        (
            ["representation=blstm_autoencoder", "features=lld", "model=lstm"],
            "LSTMEncoder needs frames, and this representation gives an utterance one code",
        ),
        (["fit_on=all"], "fit_on=all is for a representation, and there is none"),
        (["hand_on=weights"], "hand_on=weights is for a representation"),
        (["representation=pca", "model=svm", "fit_on=all"], "fit_on=all: with model=svm"),
        (
            ["representation=vae", "features=lld", "model=pyramid", "hand_on=weights"],
            "hand_on=weights is for a denoising autoencoder",
        ),
        (
            [
                "representation=dae_tied",
                "features=lld",
                "model=pyramid",
                "hand_on=weights",
                "representation.size=50",
            ],
            "model.encoder.hidden=[320, 160, 80]: with hand_on=weights as the representation's",
        ),
        (["representation=cvae", "model=svm"], "reading=marginal needs a model that averages"),
        (
            ["representation=cvae", "features=lld", "model=aae"],
            "averages over codes, and AAE does not",
        ),
        (["representation=cvae_oracle", "model=svm"], "reading=oracle is not for model=svm"),
        (
            ["representation=cvae", "representation.module.reading=null", "model=mlp"],
            "reading=null makes codes without a class, which training must have seen",
        ),
        (
            ["representation=cvae", "representation.module.reading=none", "model=mlp"],
            "representation.module.reading=none: input should be 'marginal' or 'oracle'",
        ),
        (
            ["representation=vae", "features=lld", "model=lstm", "segments.hop=1.5"],
            "segments.hop=1.5: input should be a valid integer",
        ),
    ],
)
def test_what_segments_and_classes_cannot_be_is_told(overrides: list[str], told: str) -> None:
    with pytest.raises(UserError) as error:
        check(composed(*overrides))
    assert told in str(error.value)


def test_real_data_alone_are_the_features_of_table_1() -> None:
    """So that one run serves both tables of sahu2017."""
    first, second = (
        identity(composed(f"experiment=sahu2017/{name}"))
        for name in ("compression_features", "synthesis_real")
    )
    assert first == second


def test_ablations_change_one_thing() -> None:
    """Each ablation is the optimised AAE but for what its name says."""
    full = identity(composed("experiment=parthasarathy2019/utterance_aae"))["model"]

    def of(name: str) -> dict:
        return identity(composed(f"experiment=parthasarathy2019/utterance_aae_{name}"))["model"]

    assert of("no_regularisation") == full | {"phases": ["reconstruction", "classification"]}
    assert of("equal_learning_rates") == full | {"discriminator_rate": 1.0}
    without = of("no_discriminator_dropout")
    assert without.pop("discriminator") == full["discriminator"] | {"dropout": 0.0}
    assert without == {k: v for k, v in full.items() if k != "discriminator"}
    plain = of("no_batchnorm")
    assert not plain["batch_norm"]
    assert not plain["encoder"]["batch_norm"]
    assert not plain["decoder"]["batch_norm"]
    vanilla = of("vanilla")
    assert vanilla == plain | {
        "discriminator_rate": 1.0, "discriminator": full["discriminator"] | {"dropout": 0.0}
    }  # fmt: skip


GHOSH = {  # inputs, hidden layers and code of each of the paper's table 1 but the plain softmax
    "513_1": [513, 256, 128, 64], "128_1": [128, 64, 32], "128_5": [640, 320, 160, 80],
    "mel_5": [200, 100, 50],
}  # fmt: skip


FIGURE_2 = [name for name in experiments("ghosh2016") if name.startswith("recurrent_")]
TABLES = [name for name in experiments("ghosh2016") if name not in FIGURE_2]


@pytest.mark.parametrize("experiment", TABLES)
def test_every_experiment_of_ghosh2016_has_the_paper_s_pyramid_and_training(
    experiment: str,
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
        assert cfg.trainer.stopping.phases == ["classification"]  # not what is reported
        assert cfg.model.encoder.hidden == []
    if cfg.representation is None:
        return
    kind, _, shape = experiment.removeprefix("mlp_").partition("_")
    made = cfg.representation
    widths = [frames * cfg.features.dim, *made.module.hidden, made.size]
    assert widths == GHOSH[shape]
    assert (made.batch_size, made.module.corruption) == (500, 0.2)
    assert (made.module.optimiser.lr, made.module.optimiser.weight_decay) == (1e-4, 1e-4)
    assert made.module._target_.rpartition(".")[2] == ("Deep" if kind == "deep" else "Stacked")
    assert made.module.get("tied") is {"tied": True, "untied": False, "deep": None}[kind]
    assert made.stopping.max_epochs == (5 if kind == "deep" else 5 * (len(widths) - 1))


@pytest.mark.parametrize("experiment", experiments("emodb_ghosh2016"))
def test_ghosh2016_on_emodb_is_the_paper_s(experiment: str) -> None:
    cfg = composed(f"experiment=emodb_ghosh2016/{experiment}")
    check(cfg)
    assert cfg.paper.published is None
    options = ["corpus=emodb", "target.merge={}", "target.min_agreement=0"]
    options += ["target.classes=[anger,happiness,neutral,sadness]"]
    options += ["fold=session"] if cfg.paper.get("table") == 2 else []
    assert identity(cfg) == identity(composed(f"experiment=ghosh2016/{experiment}", *options))
    header = (CONF / "experiment/emodb_ghosh2016" / f"{experiment}.yaml").read_text()
    assert f"python train.py -m experiment=emodb_ghosh2016/{experiment} corpus.root=" in header


@pytest.mark.parametrize("experiment", FIGURE_2)
def test_figure_2_of_ghosh2016_is_upon_the_codes_of_its_figure_1(experiment: str) -> None:
    cfg = composed(f"experiment=ghosh2016/{experiment}", "corpus=iemocap")
    check(cfg)
    upper = cfg.representation.upper
    assert (upper.size, upper.module.encoder.pooling) == (16, "mean")
    assert (upper.module.optimiser.lr, upper.stopping.max_epochs) == (1e-6, 45)
    assert cfg.model.encoder.hidden == []
    alone = composed(f"experiment=ghosh2016/{experiment.removeprefix('recurrent_')}")
    here, there = identity(cfg), identity(alone)
    assert here["representation"]["lower"] == there["representation"]
    for same in ("features", "segments", "target", "fold", "fit_on"):
        assert here[same] == there[same]


@pytest.mark.parametrize("kind", ["", "emodb_"])
@pytest.mark.parametrize("figure", [1, 2])
def test_figures_of_ghosh2016_are_three_runs_that_t_sne_draws(kind: str, figure: int) -> None:
    grid = grids.compose_grid([f"grid={kind}ghosh2016_figure{figure}", "corpus.root=nowhere"])
    assert grid.tsne
    shown = ["deep_mel_5", "tied_128_5", "tied_513_1"]
    prefix = "" if figure == 1 else "recurrent_"
    assert [run.system for run in grid.runs] == [prefix + name for name in shown]
    assert {(run.seed, run.fold) for run in grid.runs} == {(0, 0)}


def test_segments_are_part_of_the_identity_of_models_that_see_them() -> None:
    for name in OF_SEGMENTS:
        here = identity(composed(f"model={name}", "features=lld"))
        assert here["segments"] == identity(
            composed("features=lld", "representation=vae", "model=lstm")
        )["segments"]  # fmt: skip
        other = composed(f"model={name}", "features=lld", "segments=context")
        assert identity(other) != here


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("trainer.max_epochs=ten", "trainer.max_epochs=ten: input should be a valid integer"),
        ("trainer.max_epochs='10'", "trainer.max_epochs=10: input should be a valid integer"),
        ("seed=1.5", "seed=1.5: input should be a valid integer"),
        ("seed=-1", "seeds count from 0"),
        ("force=maybe", "force=maybe: input should be a valid boolean"),
        ("data.standardise=speakers", "did you mean speaker"),
        ("model.encoder.hidden=256", "model.encoder.hidden=256: input should be"),
        (
            "+model.encoder.hiden=[1]",
            "model.encoder.hiden: there is no such option; did you mean hidden",
        ),
        ("~data.clip", "data.clip is missing"),
        ("target.bins=round", "target.bins"),
        ("model.optimiser._target_=torch.optim.Adams", "torch.optim.Adams"),
    ],
)
def test_wrong_options_are_named(override: str, told: str) -> None:
    target = ["target=valence"] if override.startswith("target") else []
    with pytest.raises(UserError) as error:
        check(composed(*target, override))
    assert told in str(error.value)


def test_a_level_that_a_model_cannot_take_names_some_that_it_can() -> None:
    with pytest.raises(UserError, match=r"needs utterance-level.*frame-level: features=.*is10"):
        check(composed("features=lld"))


def test_what_hydra_cannot_compose_is_explained() -> None:
    assert explain(["model=mpl", "trainer.max_epoch=3"]) == [
        "model=mpl: there is no such model; did you mean model=mlp? "
        f"there are {', '.join(name for group, name in YAMLS if group == 'model')}"
    ]
    assert explain(["model=svm", "model.grid.D=[1]"]) == [
        "model.grid.D: there is no such option; there are C"
    ]
    assert explain(["trainer.max_epoch=3", "seed=1"]) == [
        "trainer.max_epoch: there is no such option; did you mean max_epochs?"
    ]


def test_identity_leaves_out_what_cannot_change_a_result() -> None:
    def of(*overrides: str) -> str:
        return digest(identity(composed(*overrides)))

    same = of()
    for override in (
        "corpus.root=elsewhere", "store.root=elsewhere", "logger=wandb", "force=true",
        "trainer.accelerator=gpu", "trainer.checkpoint_seconds=1", "in_memory=false",
        "trainer.runs_per_gpu=4", "trainer=gpu", "report.tsne=true",
    ):  # fmt: skip
        assert of(override) == same, override
    for override in (
        "test=false", "seed=1", "fold.index=1", "features=is10", "model.encoder.hidden=[10]",
        "data.batch_size=8",
        "corpus=emodb", "trainer.threads=2", "trainer.max_epochs=3", "target=valence",
        "trainer.devices=2",
    ):  # fmt: skip
        assert of(override) != same, override


def test_how_many_devices_share_a_run_is_part_of_its_identity() -> None:
    def of(*overrides: str) -> dict:
        return identity(composed(*overrides))["trainer"]

    two = of("trainer=ddp", "trainer.devices=2")
    assert two == of("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    assert two["devices"] == 2
    assert two != of("trainer=ddp", "trainer.devices=3")


def test_a_module_of_this_project_can_move_and_one_of_another_library_cannot() -> None:
    cfg = composed("model=aae", "trainer.stopping={_target_:ser.training.stopping.Converged}")
    here = identity(cfg)
    moved = OmegaConf.create(
        yaml.safe_load(
            OmegaConf.to_yaml(cfg)
            .replace("ser.models.aae.", "ser.elsewhere.")
            .replace("ser.models.priors.", "ser.models.other_priors.")
        )
    )
    assert identity(moved) == here
    foreign = OmegaConf.create(yaml.safe_load(OmegaConf.to_yaml(cfg).replace("optim.", "other.")))
    assert identity(foreign) != here
    assert here["model"]["optimiser"]["_target_"] == "torch.optim.Adam"
    assert here["model"]["latents"]["z"]["prior"]["_target_"] == "Gaussian"


def test_no_two_classes_that_a_config_names_share_a_name() -> None:
    paths = {
        match
        for file in CONF.rglob("*.yaml")
        for match in re.findall(r"_target_: (ser\.\S+)", file.read_text())
    }
    assert len({path.rpartition(".")[2] for path in paths}) == len(paths) > 40
