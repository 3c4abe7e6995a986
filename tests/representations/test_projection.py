from functools import partial
from pathlib import Path

import numpy as np
import pytest
from made import classes_in, fitting, pca
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from ser.data.batches import UNLABELLED
from ser.errors import UserError
from ser.representations.projection import Projection


def test_one_fit_of_the_largest_size_is_used_for_all_sizes(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    several = pca(tmp_path, [2, 5])
    for size in (2, 5):
        alone = PCA(size).fit((x - x.mean(0)) / x.std(0))
        codes = several.fit(x, y, size).transform(x)
        assert codes.shape == (80, size)
        np.testing.assert_allclose(codes, alone.transform((x - x.mean(0)) / x.std(0)), atol=1e-3)
    assert len(several.cache) == 1


def test_features_are_standardised_by_the_fitted_items(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    fitted = pca(tmp_path).fit(x[:40], y[:40], 2)
    np.testing.assert_allclose(fitted.standardiser.mean, x[:40].mean(0), rtol=1e-5)
    np.testing.assert_allclose(fitted.transform(x[:40]).mean(0), 0, atol=1e-5)


def test_too_many_axes_raise_an_error(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    lda = Projection(
        fitting(tmp_path), transform=LinearDiscriminantAnalysis, size=[1, 4], clip=None
    )
    with pytest.raises(UserError, match=r"size=4 is not possible with 80 utterances of 4 classes"):
        lda.fit(x, y, 1)
    with pytest.raises(UserError, match="size=7"):
        pca(tmp_path, 7).fit(x, y, 7)


def test_saved_projection_can_be_loaded_without_code(tmp_path: Path) -> None:
    import skops.io

    x, y = classes_in(6, 80)
    fitted = Projection(
        fitting(tmp_path), transform=partial(PCA, svd_solver="full"), size=2, clip=None
    ).fit(x, y, 2)
    fitted.save(tmp_path / "run")
    assert not skops.io.get_untrusted_types(file=tmp_path / "run" / "transform.skops")
    loaded = skops.io.load(tmp_path / "run" / "transform.skops")
    assert np.array_equal(loaded.components_, fitted.transformer.components_)
    with pytest.raises(UserError, match="cannot be sampled"):
        fitted.sample(y, 0)


def test_unlabelled_items_are_used_by_pca_and_not_by_lda(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    hidden = np.where(np.arange(80) < 30, UNLABELLED, y)
    options = {"size": 2, "clip": None}
    lda = Projection(fitting(tmp_path), transform=LinearDiscriminantAnalysis, **options)  # type: ignore[arg-type]
    assert lda.fit(x, hidden, 2).transformer.classes_.tolist() == [0, 1, 2, 3]
    whole, part = (pca(tmp_path).fit(x, labels, 2).transformer for labels in (y, hidden))
    assert np.array_equal(whole.components_, part.components_)
