"""What a sweep takes a run for, before features are loaded, is what the run takes itself for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ser.data.fingerprint import RunKeys
from ser.data.prepare import prepare


@pytest.mark.parametrize(
    "overrides",
    [
        ["fold.index=3", "seed=2"],
        ["model=svm", "fold=session", "data.standardise=speaker"],
        ["model=cnn", "features=lld", "target.labelled_fraction=0.5"],
        ["target.classes=[anger,sadness]", "fold=random"],
    ],
)
def test_it_is_what_the_run_itself_finds(
    overrides: list[str], emodb: list[str], composed: Callable
) -> None:
    cfg, _ = composed(*emodb, *overrides)
    assert RunKeys()(cfg) == prepare(cfg).run_key


def test_one_for_many_runs_tells_them_apart(emodb: list[str], composed: Callable) -> None:
    keys = RunKeys()
    many = ["seed=0", "seed=1", "fold.index=1", "features=is10", "target.classes=[anger,sadness]"]
    found = [keys(composed(*emodb, override)[0]) for override in many]
    assert len(set(found)) == len(many)
    assert [keys(composed(*emodb, override)[0]) for override in many] == found


def test_it_changes_with_labels_speakers_and_audio(
    emodb: list[str], emodb_root: Path, composed: Callable, tmp_path: Path
) -> None:
    files = sorted((emodb_root / "wav").glob("*.wav"))[::12]
    rows = [f"{file.name[:2]},{file},{file.name[5]}" for file in files]
    swapped = rows[0].replace(str(files[0]), str(files[0].with_name("03a01Wa.wav")))
    relabelled = rows[1][:-1] + rows[0][-1]
    listed = tmp_path / "few.csv"

    def of(rows: list[str]) -> str:
        listed.write_text("\n".join(["speaker,file,emotion", *rows]) + "\n")
        cfg, _ = composed(
            emodb[2], "corpus=manifest", f"corpus.root={listed}", "fold=random", "fold.count=3"
        )
        return RunKeys()(cfg)

    changed = [
        rows, rows[1:], [swapped, *rows[1:]], [rows[0], relabelled, *rows[2:]],
        [f"99{rows[0][2:]}", *rows[1:]],
    ]  # fmt: skip
    assert len({of(each) for each in changed}) == len(changed)
    assert of(rows) == of(rows)
