"""Published results that were changed are refused, by one line that names the file."""

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile

from ser.__main__ import main
from ser.benchmark.checking import submission_problems
from ser.benchmark.published import read_submission
from ser.benchmark.splits import _fingerprint, read_splits
from ser.benchmark.tables import write_compressed
from ser.results import digests_of, read_json, write_sealed

PROTOCOL = "manifest_emotion_speaker_kfold"
Change = Callable[[Path], object]


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy of the protocol folder with classes, truth and digests."""
    return shutil.copytree(published / "open" / PROTOCOL, tmp_path / PROTOCOL)


@pytest.fixture
def withheld(published: Path, tmp_path: Path) -> Path:
    """A copy of the protocol folder without truth and digests."""
    return shutil.copytree(published / "withheld" / PROTOCOL, tmp_path / PROTOCOL)


def verified(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    capsys.readouterr()
    status = main(["verify", *map(str, words)])
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return status, output.out + output.err


def sealed_again(folder: Path) -> None:
    """Bring all digests up to date, as somebody would who knows of them."""
    for file in (*folder.rglob("result.json"), *folder.rglob("cost.json")):
        write_sealed(file, read_json(file) or {})
    facts = read_json(folder / "splits.json") or {}
    write_sealed(folder / "splits.json", {**facts, "digests": digests_of(folder, ["splits.csv"])})
    for file in folder.rglob("submission.json"):
        facts = read_json(file) or {}
        digests = digests_of(file.parent, facts["digests"])
        write_sealed(file, {**facts, "digests": digests})


def edited(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the content of a JSON file."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def predicted(run: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change the predictions of a run."""
    file = run / "predictions.csv.gz"
    types = {"utterance": str}
    write_compressed(file, change(pd.read_csv(file, dtype=types)))


def split(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change the split file."""
    file = folder / "splits.csv"
    change(pd.read_csv(file, dtype=str)).to_csv(file, index=False)


def run_of(folder: Path, fold: int = 0) -> Path:
    return folder / "svm" / f"fold-{fold}" / "seed-0"


def without_first_test(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(index=table.index[table["part"] == "test"][0])


def other_fold(folder: Path) -> None:
    shutil.copytree(run_of(folder, 1), run_of(folder, 0), dirs_exist_ok=True)


def other_fold_with_record(folder: Path) -> None:
    """As `other_fold`, and the record claims the fold of its place."""
    other_fold(folder)
    edited(run_of(folder) / "result.json", lambda each: each.update(fold_index=0))


def of_another_commit(folder: Path) -> None:
    edited(run_of(folder) / "cost.json", lambda each: each.update(commit="0123456789ab"))


def with_test_speaker(table: pd.DataFrame) -> pd.DataFrame:
    """Give a test utterance of fold 0 to its training split, but not the others of the speaker."""
    first = table.index[table["fold_0"] == "test"][0]
    return table.assign(fold_0=table["fold_0"].where(table.index != first, "train"))


def with_other_audio(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(audio=["0" * 32, *table["audio"][1:]])


def renamed(folder: Path) -> None:
    columns = {"p_calm": "p_quiet"}
    predicted(run_of(folder), lambda t: t.rename(columns=columns).replace("calm", "quiet"))


def score(folder: Path) -> None:
    edited(run_of(folder) / "result.json", lambda each: each["test"].update(ua=0.9999))


def doubled(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.tail(1)])


def larger(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(p_calm=table["p_calm"] + 0.01)


# Kind of tampering -> how, and what is said where all digests were brought up to date.
TAMPERED: dict[str, tuple[Change, str]] = {
    "a changed score": (score, r"seed-0/result\.json: test UA is 0\.\d+ by .*, recorded 0\.9999"),
    "a missing utterance": (
        lambda folder: predicted(run_of(folder), without_first_test),
        r"predictions\.csv\.gz lacks test utterances of fold 0: \S+$",
    ),
    "a test speaker in training": (
        lambda folder: split(folder, with_test_speaker),
        r"splits\.csv, fold 0: speakers in both train and test: s\d$",
    ),
    "other audio": (
        lambda folder: split(folder, with_other_audio),
        r"splits\.csv, fold 0: .*audio are not those of the fingerprint in splits\.json$",
    ),
    "duplicated rows": (
        lambda folder: predicted(run_of(folder), doubled),
        r"predictions\.csv\.gz has utterances twice: \S+$",
    ),
    "probabilities that do not sum to 1": (
        lambda folder: predicted(run_of(folder), larger),
        r"predictions\.csv\.gz has probabilities that are not between 0 and 1 with the sum 1: ",
    ),
    "another fold": (
        other_fold,
        r"fold-0/.*predictions\.csv\.gz: its test utterances are those of fold 1, not 0$",
    ),
    "another fold, and its record": (
        other_fold_with_record,
        r"fold-0/.*result\.json: its test speakers are not those of fold 0 in splits\.csv$",
    ),
    "classes renamed": (
        renamed,
        r"predictions\.csv\.gz: its classes are not those of splits\.json: calm, quiet$",
    ),
    "a run of another commit": (
        of_another_commit,
        r"cost\.json: made by commit 0123456789ab, but submission\.json declares \S+$",
    ),
    "an edited result.json": (
        lambda folder: edited(run_of(folder) / "result.json", lambda each: each.update(seed=3)),
        r"result\.json: seed is 3, but 0 by its place and splits\.json$",
    ),
}


def test_published_results_are_accepted(
    published: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("open", "withheld"):
        status, out = verified(capsys, published / name)
        assert status == 0, out
        assert "2 protocols, 2 systems, 6 runs: 2 systems consistent, 0 not; 0 problems" in out
        assert "not checked: " in out
        assert "run keys" not in out  # they were checked
        assert ("scores by the labels" in out) == (name == "withheld")
        corpus = ["corpus=manifest", f"corpus.root={runs}/made.csv"]
        status, out = verified(capsys, published / name, *corpus, f"store.root={runs}/store")
        assert status == 0, out
        assert "not checked" not in out
    inside = published / "open" / PROTOCOL / "svm" / "fold-0" / "seed-0"
    assert verified(capsys, inside)[0] == 0  # the system that the folder is of


@pytest.mark.parametrize("kind", TAMPERED)
def test_tampering_is_refused(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, message = TAMPERED[kind]
    change(folder)
    status, out = verified(capsys, folder)
    assert status == 1
    assert "has changed since it was written" in out or "is not that of its digest" in out, out
    sealed_again(folder)
    status, out = verified(capsys, folder)
    assert status == 1
    assert any(re.search(message, line) for line in out.splitlines()), out


def test_every_edited_field_of_a_result_is_refused(folder: Path) -> None:
    for fold in (1, 2):  # to save time
        shutil.rmtree(folder / "svm" / f"fold-{fold}")
    file, splits = run_of(folder) / "result.json", {folder: read_splits(folder)}
    content = json.loads(file.read_text())

    def problems() -> list[str]:
        lines = list(submission_problems(read_submission(folder / "svm", splits)))
        return [line for line in lines if "fold-0" in line]

    assert not problems()
    for name in content:
        file.write_text(json.dumps(content | {name: "edited"}))
        assert any("result.json" in line for line in problems()), name
    # With digests brought up to date, these are refused for what they say.
    known = {"classes", "class_counts", "fold_count", "fold_index", "seed", "speakers", "system"}
    known |= {"options", "run_key", "speaker_independent", "test", "val", "versions", "fitted_on"}
    for name in sorted(known & set(content)):
        file.write_text(json.dumps(content | {name: "edited"}))
        sealed_again(folder)
        assert problems(), name


def test_splits_that_agree_with_themselves_are_not_those_of_the_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other audio in the split file, and its fingerprints computed again."""
    split(folder, with_other_audio)
    splits = read_splits(folder)
    fingerprints = [_fingerprint(splits, fold) for fold in range(3)]
    edited(folder / "splits.json", lambda each: each.update(fingerprints=fingerprints))
    sealed_again(folder)
    status, out = verified(capsys, folder)
    assert status == 1
    assert out.count("its run_key is not that of config.yaml and the fingerprint") == 3, out


@pytest.mark.parametrize("kind", ["open", "withheld"])
def test_other_audio_of_the_corpus_is_refused(
    kind: str, published: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (*runs.glob("*.wav"), runs / "made.csv"):
        shutil.copy(file, tmp_path)
    signal, rate = soundfile.read(tmp_path / "03.wav")
    soundfile.write(tmp_path / "03.wav", signal[:-1], rate)
    corpus = ["corpus=manifest", f"corpus.root={tmp_path}/made.csv", f"store.root={tmp_path}/s"]
    status, out = verified(capsys, published / kind / PROTOCOL, *corpus)
    assert status == 1
    assert ("splits.csv has other audio than the corpus: 03" in out) == (kind == "open"), out
    assert "the fingerprints are not those of the corpus" in out


def test_without_truth_a_changed_score_or_sum_is_refused(
    withheld: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(withheld)
    sealed_again(withheld)
    status, out = verified(capsys, withheld)
    assert status == 1
    assert re.search(r"result\.json: test UA is .* by speakers\.json, not 0\.9999", out), out
    file = run_of(withheld, 1) / "speakers.json"
    edited(file, lambda sums: sums[min(sums)][0].reverse())
    sealed_again(withheld)
    status, out = verified(capsys, withheld)
    assert "fold-1/seed-0/result.json: test confusion is not the sum of speakers.json" in out
    corpus = ["corpus=manifest", f"corpus.root={runs}/made.csv", f"store.root={runs}/store"]
    status, out = verified(capsys, withheld, *corpus)
    assert "fold-1/seed-0/speakers.json has not the sums of predictions and labels" in out


def test_what_is_missing_or_added_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run_of(folder), folder / "svm" / "fold-0" / "seed-1")
    status, out = verified(capsys, folder)
    assert status == 1
    assert "seed-1 is not in" in out
    assert "seed 1 lacks fold 1, 2" in out
    shutil.rmtree(folder / "svm" / "fold-0" / "seed-1")
    shutil.rmtree(folder / "svm" / "fold-2")
    status, out = verified(capsys, folder)
    assert "predictions.csv.gz is missing" in out
    assert "seed 0 lacks fold 2" in out
    (folder / "svm" / "submission.json").unlink()
    assert verified(capsys, folder)[0] == 1  # its runs are not taken for nothing
    shutil.rmtree(folder / "svm")
    assert verified(capsys, folder)[0] == 0  # split files alone
    (folder / "splits.csv").unlink()
    assert "splits.csv is missing" in verified(capsys, folder)[1]


# Named, because the bytes of gzip hold the time: every worker must have the same names.
@pytest.mark.parametrize(
    "content",
    [
        b"garbage",
        b"",
        gzip.compress(b"a,b\n1,2\n"),
        gzip.compress(b"\xff\xfe"),
    ],
    ids=["garbage", "empty", "other columns", "not text"],
)
def test_damaged_predictions_are_named(
    content: bytes, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_of(folder) / "predictions.csv.gz").write_bytes(content)
    status, out = verified(capsys, folder)
    assert status == 1
    assert "predictions.csv.gz" in out.replace("has changed", "")


def test_files_of_another_form_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file, name, value in (
        ("svm/submission.json", "digests", "none"),
        ("svm/submission.json", "choices", 1),
        ("svm/fold-0/seed-0/result.json", "test", []),
        ("splits.json", "classes", 3),
        ("splits.json", "config", "none"),
        ("splits.json", "fingerprints", {}),
    ):
        original = (folder / file).read_bytes()
        content = {key: each for key, each in json.loads(original).items() if key != "digest"}
        (folder / file).write_text(json.dumps(content | {name: value}))
        status, out = verified(capsys, folder)
        assert status == 1, (file, name)
        assert str(Path(file).parent.name or folder.name) in out, (file, name)
        (folder / file).write_bytes(original)


def test_splits_from_a_stranger_build_nothing(
    withheld: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts["config"]["target"]["_target_"] = "os.system"

    edited(withheld / "splits.json", change)
    sealed_again(withheld)
    corpus = ["corpus=manifest", f"corpus.root={runs}/made.csv", f"store.root={runs}/store"]
    status, out = verified(capsys, withheld, *corpus)
    assert status == 1
    assert "os.system: not a component that may be built" in out


# ---- submissions of other tools


@pytest.fixture
def other(folder: Path) -> Path:
    """A system of another tool: predicted classes of the test split, and its own scores."""
    path = folder / "theirs"
    for fold in range(3):
        run = path / f"fold-{fold}" / "seed-0"
        run.mkdir(parents=True)
        table = pd.read_csv(run_of(folder, fold) / "predictions.csv.gz", dtype=str)
        table = table.loc[table["part"] == "test", ["utterance", "prediction"]]
        table.to_csv(run / "predictions.csv", index=False)
    (path / "submission.json").write_text('{"system": "theirs", "training": "train+val"}')
    return path


def test_results_of_other_tools_are_verified(
    other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = verified(capsys, other)
    assert status == 0, out
    assert "not checked: " in out
    assert "scores, where there is no result.json" in out
    run, ours = other / "fold-0" / "seed-0", run_of(other.parent)
    ua = json.loads((ours / "result.json").read_text())["test"]["ua"]
    (run / "result.json").write_text(json.dumps({"test": {"ua": ua}}))
    assert verified(capsys, other)[0] == 0
    (run / "result.json").write_text(json.dumps({"test": {"ua": ua - 0.01}}))
    status, out = verified(capsys, other)
    assert status == 1
    assert "result.json: test UA is" in out


def test_a_test_speaker_in_the_training_list_is_refused(
    other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(other.parent / "splits.csv", dtype=str)
    fitted = table.loc[table["fold_0"] != "test", "utterance"]
    file = other / "fold-0" / "seed-0" / "training.txt"
    file.write_text("\n".join(fitted))
    assert verified(capsys, other)[0] == 0
    tested = table.loc[table["fold_0"] == "test", "utterance"].iloc[0]
    file.write_text("\n".join([*fitted, tested, "nobody"]))
    status, out = verified(capsys, other)
    assert status == 1
    assert re.search(r"training\.txt: test speakers of fold 0 in training: s\d", out), out
    assert f"training.txt has utterances of test: {tested}" in out
    assert "training.txt has utterances that are not in splits.csv: nobody" in out


def test_a_submission_that_describes_nothing_is_refused(
    other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = other / "submission.json"
    for content, message in (
        ("{}", "names no system"),
        ("[]", "not a JSON object"),
        ('{"system": "theirs", "training": "all"}', "training must be one of train, train+val"),
    ):
        file.write_text(content)
        status, out = verified(capsys, other)
        assert status == 1
        assert message in out, out
    alone = other.parent.parent / "alone"
    file.write_text('{"system": "theirs"}')
    shutil.copytree(other, alone)
    assert "no splits.json in a folder above it" in verified(capsys, alone)[1]
