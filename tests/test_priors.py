import torch

from ser.priors import Categorical, Gaussian

CPU = torch.device("cpu")


def test_gaussian_samples_are_standard_normal_and_its_codes_the_head_s() -> None:
    torch.manual_seed(0)
    samples = Gaussian().sample(20_000, 3, CPU)
    assert samples.shape == (20_000, 3)
    assert samples.mean(0).abs().max() < 0.03
    torch.testing.assert_close(samples.T.cov(), torch.eye(3), atol=0.04, rtol=0)
    head = torch.randn(4, 3)
    assert torch.equal(Gaussian().code(head), head)


def test_categorical_samples_are_one_hot_and_uniform_and_its_codes_probabilities() -> None:
    torch.manual_seed(0)
    samples = Categorical().sample(20_000, 5, CPU)
    assert samples.dtype == torch.get_default_dtype()
    assert set(samples.unique().tolist()) == {0.0, 1.0}
    assert (samples.sum(1) == 1).all()
    assert (samples.mean(0) - 0.2).abs().max() < 0.02
    head = torch.randn(4, 5)
    codes = Categorical().code(head)
    torch.testing.assert_close(codes.sum(1), torch.ones(4))
    assert torch.equal(codes.argmax(1), head.argmax(1))


def test_samples_follow_from_the_seed() -> None:
    for prior in (Gaussian(), Categorical()):
        torch.manual_seed(3)
        first = prior.sample(8, 4, CPU)
        torch.manual_seed(3)
        assert torch.equal(prior.sample(8, 4, CPU), first)
