from ser.keepers import Converged


def rule(**options: float) -> Converged:
    return Converged(
        **{"phases": ["a", "b"], "window": 3, "tolerance": 0.1, "max_epochs": 50, **options}
    )  # type: ignore[arg-type]


def record(*losses: tuple[float, float]) -> list[dict[str, float]]:
    return [{"train/a_loss": a, "train/b_loss": b, "val/ua": 0.0} for a, b in losses]


def test_losses_are_at_rest_when_each_window_is_like_the_one_before() -> None:
    assert rule().is_at_rest(record(*[(1.0, 2.0)] * 6))
    assert rule().is_at_rest(record(*[(9.0, 9.0)] * 20, *[(1.0, 2.0)] * 6))
    assert not rule().is_at_rest(record(*[(1.0, 2.0)] * 5))
    assert not rule().is_at_rest(record(*[(1.0, 2.0)] * 3, *[(1.0, 1.5)] * 3))
    # Up and down within a window is rest, too; a trend is not.
    assert rule().is_at_rest(record(*[(1.0, 2.0), (3.0, 2.0), (1.0, 2.0)] * 2))
    assert not rule(tolerance=0.01).is_at_rest(record(*[(2.0 - i / 10, 1.0) for i in range(9)]))


def test_no_other_column_is_read() -> None:
    rows = record(*[(1.0, 2.0)] * 6)
    for number, row in enumerate(rows):
        row["val/ua"] = row["test/a_loss"] = float(number)
    assert rule().is_at_rest(rows)
