import pytest
import torch

from ser.data.batches import UNLABELLED
from ser.errors import UserError
from ser.models.priors import Categorical, Gaussian, GaussianMixture

NONE = torch.full((20_000,), UNLABELLED)


def test_gaussian_samples_are_standard_normal_and_codes_equal_the_head() -> None:
    torch.manual_seed(0)
    samples = Gaussian().sample(NONE, 3, 4)
    assert samples.shape == (20_000, 3)
    assert samples.mean(0).abs().max() < 0.03
    torch.testing.assert_close(samples.T.cov(), torch.eye(3), atol=0.04, rtol=0)
    head = torch.randn(4, 3)
    assert torch.equal(Gaussian().code(head), head)


def test_categorical_samples_are_uniform_one_hot_and_codes_probabilities() -> None:
    torch.manual_seed(0)
    samples = Categorical().sample(NONE, 5, 4)
    assert samples.dtype == torch.get_default_dtype()
    assert set(samples.unique().tolist()) == {0.0, 1.0}
    assert (samples.sum(1) == 1).all()
    assert (samples.mean(0) - 0.2).abs().max() < 0.02
    head = torch.randn(4, 5)
    codes = Categorical().code(head)
    torch.testing.assert_close(codes.sum(1), torch.ones(4))
    assert torch.equal(codes.argmax(1), head.argmax(1))


def test_samples_depend_on_the_seed_only() -> None:
    for prior in (Gaussian(), Categorical()):
        torch.manual_seed(3)
        first = prior.sample(NONE[:8], 4, 3)
        torch.manual_seed(3)
        assert torch.equal(prior.sample(NONE[:8], 4, 3), first)


@pytest.mark.parametrize(("classes", "size"), [(2, 1), (4, 2), (4, 3), (7, 2), (7, 6), (7, 10)])
def test_means_of_a_mixture_are_as_far_apart_as_possible(classes: int, size: int) -> None:
    centres = GaussianMixture(5.0, 1.0, None).centres(size, classes)
    torch.testing.assert_close(centres.norm(dim=1), torch.full((classes,), 5.0))
    torch.testing.assert_close(centres.sum(0), torch.zeros(size), atol=1e-5, rtol=0)
    away = torch.cdist(centres, centres)
    nearest = (away + 100 * torch.eye(classes)).min(1).values
    torch.testing.assert_close(nearest, nearest[:1].expand(classes))
    if size >= classes - 1:  # a simplex: all are equally far
        assert away[~torch.eye(classes, dtype=bool)].std() < 1e-4


def test_samples_of_a_mixture_are_of_the_requested_class() -> None:
    torch.manual_seed(0)
    mixture = GaussianMixture(5.0, 0.5, None)
    labels = torch.arange(6000) % 4
    samples = mixture.sample(labels, 3, 4)
    for label in range(4):
        of_class = samples[labels == label]
        torch.testing.assert_close(
            of_class.mean(0), mixture.centres(3, 4)[label], atol=0.06, rtol=0
        )
        torch.testing.assert_close(of_class.std(0), torch.full((3,), 0.5), atol=0.04, rtol=0)
    nearest = torch.cdist(mixture.sample(NONE, 3, 4), mixture.centres(3, 4)).argmin(1)
    assert (torch.bincount(nearest) / len(NONE) - 0.25).abs().max() < 0.02


def test_given_means_must_have_the_right_shape() -> None:
    given = GaussianMixture(5.0, 1.0, [[0.0, 1.0], [2.0, 3.0]])
    assert given.centres(2, 2).tolist() == [[0.0, 1.0], [2.0, 3.0]]
    with pytest.raises(UserError, match=r"must be 3 means \(one per class\) of 2 values"):
        given.centres(2, 3)
