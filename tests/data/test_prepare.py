"""Preparation of a run: corpus, target, features, fold and remarks."""

from collections.abc import Callable

from ser.data.prepare import prepare


def test_agreement_of_raters_is_ignored_with_a_remark_where_a_corpus_has_no_raters(
    emodb: list[str], composed: Callable
) -> None:
    options = ["experiment=ghosh2016/mlp_random", "features=functionals", "model=mlp"]
    cfg, _ = composed(*options, *emodb)
    assert cfg.target.min_agreement == 2
    remarks = prepare(cfg).remarks
    assert "target.min_agreement=2 is ignored: corpus emodb has no single ratings" in remarks
