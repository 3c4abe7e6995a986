"""Runs tested on a corpus that they were not made on: women's speech trains, men's tests."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from omegaconf import OmegaConf
from small import SMALL, Composed, make_old

from ser import results
from ser.__main__ import main
from ser.config import choices
from ser.config.checks import check
from ser.corpora.emodb import emodb as read_emodb
from ser.errors import UserError
from ser.inference.evaluate import evaluate
from ser.inference.predict import predict
from ser.runs.run import run

KINDS = {
    "functionals": ["features=egemaps", "model=mlp", *SMALL["mlp"]],
    "frames": ["features=logmel40", "model=cnn", *SMALL["cnn"]],
    "speakers": ["features=egemaps", "model=mlp", *SMALL["mlp"], "data.standardise=speaker"],
    "estimator": ["features=egemaps", "model=logistic", "model.grid={C: [1.0]}"],
}
CLASSES = ["anger", "neutral", "sadness"]


@pytest.fixture(scope="module")
def home(emodb_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifests of four women and of four men, three utterances of each emotion and speaker."""
    folder = tmp_path_factory.mktemp("home")
    table = read_emodb(emodb_root).table
    table = table[table["emotion"].isin([*CLASSES, "boredom"])]
    table = table.groupby(["speaker", "emotion"]).head(3)
    for gender, group in table.groupby("gender"):
        kept = group[group["speaker"].isin(sorted(set(group["speaker"]))[:4])].copy()
        # The women's are not bored, and the men's sadness is called so.
        kept = kept[(kept["emotion"] != "boredom") | (gender == "male")]
        kept["emotion"] = kept["emotion"].replace({"sadness": "grief"} if gender == "male" else {})
        columns = ["file", "speaker", "session", "gender", "text", "emotion"]
        kept[columns].to_csv(folder / f"{gender}.csv", index=False)
    return folder


def of(home: Path, gender: str) -> list[str]:
    return ["corpus=manifest", f"corpus.root={home}/{gender}.csv", f"store.root={home}/store"]


Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(home: Path, composed: Callable[..., Composed]) -> Make:
    """Makes a run of women's speech in a folder."""

    def made(folder: Path, kind: str = "functionals", *overrides: str) -> Path:
        shared = ["fold=session", "trainer.max_epochs=3", *overrides]
        cfg, names = composed(*of(home, "female"), *shared, *KINDS.get(kind, []))
        (folder / ".hydra").mkdir(parents=True, exist_ok=True)
        OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
        hydra = {"hydra": {"runtime": {"choices": dict(names)}}}
        OmegaConf.save(hydra, folder / ".hydra" / "hydra.yaml")
        OmegaConf.save(list(overrides), folder / ".hydra" / "overrides.yaml")
        run(cfg, folder, names)
        return folder

    return made


@pytest.fixture(scope="module")
def runs(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for kind in KINDS:
        make(folder / kind, kind)
    return folder


@pytest.fixture
def trained(runs: Path, tmp_path: Path) -> Path:
    """A run to do with as a test likes."""
    return Path(shutil.copytree(runs / "functionals", tmp_path / "run"))


MEN = ["target.merge={grief: sadness}"]


def found(folder: Path, corpus: str = "male") -> tuple[pd.DataFrame, dict]:
    where = folder / results.EVALUATED / corpus
    told = results.read_json(where / results.EVALUATION)
    assert told is not None
    return results.RunFolder(where).read_predictions(), told


@pytest.mark.parametrize("kind", KINDS)
def test_it_tells_of_another_corpus_what_predict_tells_of_its_files(
    kind: str, runs: Path, home: Path, tmp_path: Path
) -> None:
    assert evaluate(runs / kind, [*of(home, "male"), *MEN]) == 0
    table, told = found(runs / kind)
    assert told["class_counts"]["test"] == {"anger": 12, "neutral": 12, "sadness": 12}
    files = pd.read_csv(home / "male.csv").set_index("file")
    files.index = files.index.map(lambda file: Path(file).stem)
    assert set(table["utterance"]) == set(files.index[files["emotion"] != "boredom"])
    unlike = 0
    for speaker, group in table.groupby(table["utterance"].map(files["speaker"])):
        paths = [Path(f"{path}") for path in pd.read_csv(home / "male.csv")["file"]]
        names = list(group["utterance"])
        paths = sorted((p for p in paths if p.stem in names), key=lambda p: names.index(p.stem))
        options = {"window": None, "hop": None, "workers": 2, "out": tmp_path / f"{speaker}.csv"}
        predict(runs / kind, paths, one_speaker=True, **options)  # type: ignore[arg-type]
        alone = pd.read_csv(tmp_path / f"{speaker}.csv")
        np.testing.assert_allclose(group.filter(like="p_"), alone.filter(like="p_"), rtol=1e-5)
        unlike += alone["unlike_training"].sum()
        assert alone["speech"].all()
    assert told["no_speech"] == 0.0
    assert told["unlike_training"] == pytest.approx(unlike / len(table))
    remarks = [remark for remark in told["remarks"] if "male is unlike the training data" in remark]
    assert len(remarks) == (told["unlike_training"] > 0.2)


def test_what_has_no_counterpart_is_named_and_left_out(
    trained: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(trained, of(home, "male"))
    table, told = found(trained)
    assert set(table["truth"]) == {"anger", "neutral"}
    assert told["test"]["recall"]["sadness"] is None
    assert told["test"]["chance_ua"] == 0.5  # of the classes that are there
    text = " ".join(capsys.readouterr().out.split())
    assert "male has no utterances of sadness: predicting it is always wrong" in text
    assert "training has no such class: boredom (12), grief (12)" in text
    # A class that is renamed by `merge` is reported by its new name.
    evaluate(trained, [*of(home, "male"), "target.merge={boredom: apathy}"])
    assert any("apathy (12), grief (12)" in remark for remark in found(trained)[1]["remarks"])
    none = ["target.merge={anger: rage, neutral: calm}"]
    with pytest.raises(UserError, match="boredom, calm, grief, rage. Say which class corresponds"):
        evaluate(trained, [*of(home, "male"), *none])


def test_speech_unlike_training_and_silence_are_remarked(
    trained: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Men's speech as from a telephone far away, among it two silent files."""
    men = pd.read_csv(home / "male.csv").query("emotion != 'boredom'")[::3].copy()
    files = [tmp_path / f"{number}.wav" for number in range(len(men))]
    for number, (file, original) in enumerate(zip(files, men["file"], strict=True)):
        signal, rate = soundfile.read(original)
        soundfile.write(file, (number > 1) * 0.1 * signal[::2], rate // 2)
    men.assign(file=files).to_csv(tmp_path / "far.csv", index=False)
    corpus = ["corpus=manifest", f"corpus.root={tmp_path}/far.csv", f"store.root={home}/store"]
    assert evaluate(trained, [*corpus, *MEN]) == 0
    told = found(trained, "far")[1]
    assert told["no_speech"] == pytest.approx(2 / len(men))
    assert told["unlike_training"] > 0.9
    remarks = [
        f"2 of {len(men)} utterances of far contain no speech; their predictions mean nothing",
        "over 90% of far is unlike the training data: standardise by speaker "
        "(data.standardise=speaker), or train on data nearer to it",
    ]
    assert told["remarks"][-2:] == remarks
    text = " ".join(capsys.readouterr().out.split())
    for line in (*remarks, f"unlike the training data: {100 * told['unlike_training']:.1f}%"):
        assert line in text
    make_old(trained)
    shutil.rmtree(trained / results.EVALUATED)
    evaluate(trained, [*corpus, *MEN])
    assert found(trained, "far")[1]["unlike_training"] is None


def test_a_speaker_of_one_utterance_cannot_be_standardised_alone(
    runs: Path, home: Path, tmp_path: Path
) -> None:
    men = pd.read_csv(home / "male.csv")
    few = pd.concat([men.iloc[:8], men[men["speaker"] != men["speaker"][0]].iloc[:1]])
    few.to_csv(tmp_path / "few.csv", index=False)
    few_men = ["corpus=manifest", f"corpus.root={tmp_path}/few.csv", f"store.root={home}/store"]
    with pytest.raises(UserError, match=f"only one utterance of {few['speaker'].iloc[-1]}"):
        evaluate(runs / "speakers", few_men)


def test_speech_that_was_trained_on_tests_nothing(
    trained: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="fitted or selected on 27 of the 36 utterances of female"):
        evaluate(trained, of(home, "female"))
    # Under another name, among others' speech.
    told = results.RunFolder(trained).read_utterances()
    own = {part: told.loc[told["part"] == part, "utterance"].iloc[0] for part in set(told["part"])}
    women = {Path(file).stem: file for file in pd.read_csv(home / "female.csv")["file"]}
    men = pd.read_csv(home / "male.csv")
    for part, is_heard in {"train": True, "val": True, "test": False}.items():
        shutil.copy(women[own[part]], tmp_path / "someone.wav")
        row = {"file": f"{tmp_path}/someone.wav", "speaker": "someone", "emotion": "anger"}
        pd.concat([men, pd.DataFrame([row])]).to_csv(tmp_path / "mixed.csv", index=False)
        mixed = ["corpus=manifest", f"corpus.root={tmp_path}/mixed.csv", f"store.root={home}/store"]
        if is_heard:
            with pytest.raises(UserError, match="selected on 1 of the 49 .* e.g. someone"):
                evaluate(trained, mixed)
        else:
            assert evaluate(trained, mixed) == 0
    # To be told by predict, too, which tests nothing.
    files = [str(women[own[part]]) for part in ("train", "test")]
    assert main(["predict", str(trained), *files]) == 0
    assert "1 of the recordings were used in training or selection" in capsys.readouterr().err
    (trained / "checkpoints" / "training_audio.txt").unlink()
    with pytest.raises(UserError, match=r"training_audio\.txt is missing .*; train the run again"):
        evaluate(trained, of(home, "male"))


def elsewhere(home: Path, *overrides: str) -> Sequence[str]:
    root = f"test_corpus.root={home}/male.csv"
    return ["test_corpus=manifest", root, "test_corpus.merge={grief: sadness}", *overrides]


def test_a_run_tests_itself_on_another_corpus(
    trained: Path, make: Make, home: Path, tmp_path: Path
) -> None:
    evaluate(trained, [*of(home, "male"), *MEN])
    folder = make(tmp_path / "both", "functionals", *elsewhere(home))
    for name in (results.RESULT, results.PREDICTIONS, results.METRICS):
        assert (folder / name).read_bytes() == (trained / name).read_bytes()
    of_run, by_hand = ((f / results.EVALUATED / "male") for f in (folder, trained))
    for name in (results.EVALUATION, results.PREDICTIONS, results.UTTERANCES):
        assert (of_run / name).read_bytes() == (by_hand / name).read_bytes()

    # A finished run is tested, not trained; what was tested before is not tested again.
    before = (folder / "checkpoints" / "best.ckpt").stat().st_mtime_ns
    shutil.rmtree(folder / results.EVALUATED)
    make(folder, "functionals", *elsewhere(home))
    table = of_run / results.PREDICTIONS
    first = table.stat().st_mtime_ns
    make(folder, "functionals", *elsewhere(home))
    assert table.stat().st_mtime_ns == first
    assert (folder / "checkpoints" / "best.ckpt").stat().st_mtime_ns == before
    # Other labels are another test.
    make(folder, "functionals", *elsewhere(home)[:2])
    assert set(found(folder)[0]["truth"]) == {"anger", "neutral"}
    # What another training has made is not this one's.
    make(folder, "functionals", "seed=1", "force=true")
    assert not (folder / results.EVALUATED).exists()
    # As in a search: what is not tested on its own corpus is tested on none.
    assert not (
        make(tmp_path / "no", "functionals", *elsewhere(home), "test=false") / "evaluated"
    ).exists()


@pytest.mark.slow
def test_a_report_sets_it_beside_the_test_of_its_own(
    make: Make, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = []
    for seed in range(2):
        for fold in range(4):
            folder = tmp_path / "runs" / f"{seed}-{fold}"
            folders.append(make(folder, "functionals", f"seed={seed}", f"fold.index={fold}"))
    evaluate(tmp_path / "runs", [*of(home, "male"), *MEN])
    assert "8 runs on male: mean UA" in capsys.readouterr().out
    shutil.rmtree(folders[5] / results.EVALUATED)
    out = tmp_path / "report"
    OmegaConf.clear_resolvers()  # as in a process of its own
    assert main(["report", str(tmp_path / "runs"), "--out", str(out)]) == 0
    scores = pd.read_csv(out / "scores.csv").query("part == 'test' and joined == 'pooled'")
    scores = scores.set_index("corpus")
    assert list(scores.index) == ["manifest", "manifest to male"]
    # Each fold is tested on all 36, which are no more for that; a seed needs all its folds.
    assert list(scores["utterances"]) == [36, 36]
    assert list(scores["seeds"]) == [2, 1]
    uas = [found(folder)[1]["test"]["ua"] for folder in folders[:4]]
    assert scores.loc["manifest to male", "ua"] == pytest.approx(np.mean(uas), abs=1e-6)
    text = (out / "report.md").read_text()
    assert "8 of 8 runs are finished; corpus: manifest, manifest to male" in text
    assert "seed 1, fold 1 not yet evaluated (python -m ser evaluate)" in text
    slices = pd.read_csv(out / "slices.csv").query(
        "corpus == 'manifest to male' and by == 'gender'"
    )
    assert slices[["value", "utterances"]].to_numpy().tolist() == [["male", 36]]


def test_every_corpus_can_be_tested_on(composed: Callable[..., Composed]) -> None:
    for name in choices("corpus"):
        cfg, _ = composed(f"test_corpus={name}", "test_corpus.root=/nowhere/some.csv")
        check(cfg)
        assert cfg.test_corpus.corpus._target_ == composed(f"corpus={name}")[0].corpus._target_


def test_what_cannot_be_tested_elsewhere_is_told_before_it_is_trained(
    composed: Callable[..., Composed],
) -> None:
    for options, reason in {
        ("experiment=latif2018/cvae_lstm_oracle",): "needs the true classes",
        ("features=covarep", "features.root=x", "model=cnn"): "read from files of one corpus",
    }.items():
        with pytest.raises(UserError, match=reason):
            check(composed("test_corpus=demo", *options)[0])


def test_one_corpus_at_a_time_and_the_run_s_target(trained: Path) -> None:
    with pytest.raises(UserError, match="one corpus at a time"):
        evaluate(trained, ["corpus=emodb,demo"])
    with pytest.raises(UserError, match="cannot be tested on target=valence"):
        evaluate(trained, ["corpus=demo", "target=valence"])


def test_features_of_files_are_read_from_those_of_the_other_corpus(
    make: Make, home: Path, tmp_path: Path
) -> None:
    for gender in ("female", "male"):
        manifest = pd.read_csv(home / f"{gender}.csv")
        names = ["anger", "neutral", "boredom"]  # sadness and grief are none of them
        frame = pd.DataFrame({name: manifest["emotion"] == name for name in names}, dtype=float)
        frame.insert(0, "utterance", [Path(file).stem for file in manifest["file"]])
        frame.to_csv(tmp_path / f"{gender}.csv", index=False)
    own = ["features=files", f"features.root={tmp_path}/female.csv", *KINDS["estimator"][1:]]
    folder = make(tmp_path / "run", "", *own)
    male = [*of(home, "male"), *MEN]
    with pytest.raises(UserError, match="tests the run on labelled speech"):
        evaluate(folder, male)
    options = {"window": None, "hop": None, "workers": 1, "out": None}
    with pytest.raises(UserError, match="tests the run on labelled speech"):
        predict(folder, [], one_speaker=False, **options)  # type: ignore[arg-type]
    evaluate(folder, [*male, f"features.root={tmp_path}/male.csv"])
    record = results.read_json(folder / results.EVALUATED / "male" / "evaluation.json") or {}
    assert record["test"]["ua"] == 1.0
    frame.assign(d=1.0).to_csv(tmp_path / "male.csv", index=False)
    with pytest.raises(UserError, match="these are other features"):
        evaluate(folder, [*male, f"features.root={tmp_path}/male.csv"])
