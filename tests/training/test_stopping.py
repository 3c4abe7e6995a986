from typing import Any

import pytest

from ser.errors import UserError
from ser.training.stopping import BestValidation, Converged, FixedEpochs


def converged(**options: Any) -> Converged:
    defaults = {"window": 3, "tolerance": 0.1, "max_epochs": 50, "below": None}
    return Converged(**{"phases": ["a", "b"], **defaults, **options})


def record(*losses: tuple[float, float]) -> list[dict[str, float]]:
    return [{"train/a_loss": a, "train/b_loss": b, "val/ua": 0.0} for a, b in losses]


def test_losses_have_converged_when_two_windows_have_similar_means() -> None:
    assert converged().is_over(record(*[(1.0, 2.0)] * 6))
    assert converged().is_over(record(*[(9.0, 9.0)] * 20, *[(1.0, 2.0)] * 6))
    assert not converged().is_over(record(*[(1.0, 2.0)] * 5))
    assert not converged().is_over(record(*[(1.0, 2.0)] * 3, *[(1.0, 1.5)] * 3))
    # Oscillation within a window is convergence; a trend is not.
    assert converged().is_over(record(*[(1.0, 2.0), (3.0, 2.0), (1.0, 2.0)] * 2))
    assert not converged(tolerance=0.01).is_over(record(*[(2.0 - i / 10, 1.0) for i in range(9)]))


def test_convergence_depends_on_training_losses_only() -> None:
    rows = record(*[(1.0, 2.0)] * 6)
    for number, row in enumerate(rows):
        row["val/ua"] = row["test/a_loss"] = float(number)
    assert converged().is_over(rows)


def test_training_ends_when_all_losses_are_below_their_bounds() -> None:
    both = converged(below={"a": 1.5, "b": 2.5})
    assert both.is_over(record((1.0, 2.0)))
    assert not both.is_over(record((1.0, 2.0), (2.0, 2.0)))
    assert not both.is_over(record((1.0, 3.0)))
    with pytest.raises(
        UserError, match=r"unknown loss train/c_loss; .* train/a_loss, train/b_loss"
    ):
        converged(below={"c": 1.0}).is_over(record((1.0, 2.0)))


def test_patience_counts_from_the_best_epoch() -> None:
    def is_over(patience: int | None, epoch: int) -> bool:
        selection = BestValidation(patience)
        selection.epoch = 3
        return selection.is_over([{"epoch": epoch}])

    assert [epoch for epoch in range(3, 8) if is_over(2, epoch)] == [5, 6, 7]
    assert not any(is_over(None, epoch) for epoch in range(100))


def test_fixed_epochs_do_not_depend_on_the_losses() -> None:
    assert not FixedEpochs(max_epochs=6).is_over(record(*[(1.0, 2.0)] * 6))
