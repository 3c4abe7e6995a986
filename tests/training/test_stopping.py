from typing import Any

import pytest

from ser.errors import UserError
from ser.training.stopping import Best, Converged


def rule(**options: Any) -> Converged:
    defaults = {"window": 3, "tolerance": 0.1, "max_epochs": 50, "below": None}
    return Converged(**{"phases": ["a", "b"], **defaults, **options})


def record(*losses: tuple[float, float]) -> list[dict[str, float]]:
    return [{"train/a_loss": a, "train/b_loss": b, "val/ua": 0.0} for a, b in losses]


def test_losses_are_at_rest_when_each_window_is_like_the_one_before() -> None:
    assert rule().is_over(record(*[(1.0, 2.0)] * 6))
    assert rule().is_over(record(*[(9.0, 9.0)] * 20, *[(1.0, 2.0)] * 6))
    assert not rule().is_over(record(*[(1.0, 2.0)] * 5))
    assert not rule().is_over(record(*[(1.0, 2.0)] * 3, *[(1.0, 1.5)] * 3))
    # Up and down within a window is rest, too; a trend is not.
    assert rule().is_over(record(*[(1.0, 2.0), (3.0, 2.0), (1.0, 2.0)] * 2))
    assert not rule(tolerance=0.01).is_over(record(*[(2.0 - i / 10, 1.0) for i in range(9)]))


def test_no_other_column_is_read() -> None:
    rows = record(*[(1.0, 2.0)] * 6)
    for number, row in enumerate(rows):
        row["val/ua"] = row["test/a_loss"] = float(number)
    assert rule().is_over(rows)


def test_losses_that_are_all_small_enough_end_it() -> None:
    both = rule(below={"a": 1.5, "b": 2.5})
    assert both.is_over(record((1.0, 2.0)))
    assert not both.is_over(record((1.0, 2.0), (2.0, 2.0)))
    assert not both.is_over(record((1.0, 3.0)))
    with pytest.raises(UserError, match=r"no train/c_loss; there are train/a_loss, train/b_loss"):
        rule(below={"c": 1.0}).is_over(record((1.0, 2.0)))


def test_patience_counts_from_the_best_epoch() -> None:
    def is_over(patience: int | None, epoch: int) -> bool:
        keeper = Best(patience)
        keeper.epoch = 3
        return keeper.is_over([{"epoch": epoch}])

    assert [epoch for epoch in range(3, 8) if is_over(2, epoch)] == [5, 6, 7]
    assert not any(is_over(None, epoch) for epoch in range(100))
