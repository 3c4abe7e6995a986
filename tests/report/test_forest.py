"""Names in the forest plot have room beside the score."""

import pytest

from ser.report.figures.forest import shortened


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("utterance_aae", "utterance_aae"),
        ("utterance_baseline target.bins=majority", "utteranc… target.bins=majority"),
        ("mlp model.encoder.hidden=[256,256]", "mlp model.encoder.hidden=[256…"),
        ("a_name_without_options_that_is_long", "a_name_without_options_that_i…"),
    ],
)
def test_options_are_kept_if_they_fit(name: str, expected: str) -> None:
    assert shortened(name, 30) == expected
    assert len(expected) <= 30
