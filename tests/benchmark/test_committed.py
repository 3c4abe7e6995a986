"""The committed results of the benchmark are what their predictions say."""

import pytest
import warm

from ser.__main__ import main


def test_committed_results_are_consistent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(warm.ROOT / "docs" / "results" / "benchmark")]) == 0
    assert "0 problems" in capsys.readouterr().out
