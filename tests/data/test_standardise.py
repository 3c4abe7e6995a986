import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from ser.data.standardise import Standardiser, per_speaker


def test_statistics_depend_on_the_given_rows_only() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(5, 3, (50, 4)).astype(np.float32)
    rows = np.arange(20)
    fitted = Standardiser.fit(values, rows, clip=None)
    expected = StandardScaler().fit(values[rows].astype(np.float64))
    np.testing.assert_allclose(fitted(values), expected.transform(values), rtol=1e-5, atol=1e-6)
    values[20:] = np.nan
    again = Standardiser.fit(values, rows, clip=None)
    assert np.array_equal(fitted.mean, again.mean)
    assert np.array_equal(fitted.scale, again.scale)


def test_huge_small_and_constant_dimensions_are_standardised() -> None:
    """openSMILE gives 1e13 on noise; sums of squares in float32 would be infinite or wrong."""
    rng = np.random.default_rng(0)
    values = np.stack(
        [1e13 * (1 + 1e-3 * rng.normal(size=9000)), np.full(9000, 0.1), rng.normal(size=9000)], 1
    ).astype(np.float32)
    out = Standardiser.fit(values, np.arange(9000), clip=None)(values)
    np.testing.assert_allclose(out.std(axis=0), [1, 0, 1], atol=1e-3)
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-3)


def test_values_are_clipped() -> None:
    values = np.array([[0.0], [1.0], [1000.0]], np.float32)
    out = Standardiser.fit(values, np.array([0, 1]), clip=3)(values)
    assert out.ravel().tolist() == [-1.0, 1.0, 3.0]


def test_per_speaker_uses_the_statistics_of_each_speaker() -> None:
    values = np.array([[0.0], [100.0], [2.0], [300.0]], np.float32)
    out = per_speaker(values, pd.Series(["a", "b", "a", "b"]))
    assert out.ravel().tolist() == [-1.0, -1.0, 1.0, 1.0]
