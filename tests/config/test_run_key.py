"""Which options are part of the identity of a run."""

import re
from collections.abc import Callable

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from ser.config import CONF, machine
from ser.config.run_key import digest, result_options

Compose = Callable[..., DictConfig]


def test_identity_leaves_out_what_cannot_change_a_result(composed: Compose) -> None:
    def key(*overrides: str) -> str:
        return digest(result_options(composed(*overrides)))

    same = key()
    without_effect = [
        "corpus.root=elsewhere", "store.root=elsewhere", "logger=wandb", "force=true",
        "trainer.checkpoint_seconds=1", "in_memory=false", "trainer.runs_per_gpu=4",
        "report.tsne=true",
    ]  # fmt: skip
    assert key(*without_effect) == same
    for override in (
        "test=false", "seed=1", "fold.index=1", "features=is10", "model.encoder.hidden=[10]",
        "data.batch_size=8",
        "corpus=emodb", "trainer.threads=2", "trainer.max_epochs=3", "target=valence",
        "trainer.devices=2",
    ):  # fmt: skip
        assert key(override) != same, override


def test_a_rate_of_one_does_not_change_runs_from_before_there_was_the_option(
    composed: Compose,
) -> None:
    sums = ["features=wavlm", "model=aae_layer_sum"]
    assert "weights_rate" not in result_options(composed(*sums))["model"]["encoder"]
    faster = result_options(composed(*sums, "networks.layer_sum.weights_rate=10.0"))
    assert faster["model"]["encoder"]["weights_rate"] == 10


def test_options_of_ratings_do_not_change_runs_without_them(composed: Compose) -> None:
    """Keys of runs on manifests from before there were these options."""
    manifest = ["corpus=manifest", "corpus.root=my.csv"]
    before = {"_target_": "manifest", "name": "my"}
    assert result_options(composed(*manifest))["corpus"] == before
    assert result_options(composed(*manifest, "corpus.ratings=r.csv"))["corpus"] == before
    scaled = result_options(composed(*manifest, "corpus.scale=[1,7]"))["corpus"]
    assert scaled == {**before, "scale": [1, 7]}


def test_number_of_devices_is_part_of_the_identity(composed: Compose) -> None:
    def trainer(*overrides: str) -> dict:
        return result_options(composed(*overrides))["trainer"]

    two = trainer("trainer=ddp", "trainer.devices=2")
    assert two["devices"] == 2
    assert two != trainer("trainer=ddp", "trainer.devices=3")
    on_cpu = trainer("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    assert two == {**on_cpu, "accelerator": "gpu"}


def test_runs_on_a_gpu_have_keys_of_their_own(
    composed: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(*overrides: str) -> str:
        return digest(result_options(composed(*overrides)))

    monkeypatch.setattr(machine, "_has_driver", lambda: False)
    cpu, gpu = key(), key("trainer=gpu")
    assert cpu != gpu == key("trainer.accelerator=gpu", "trainer.runs_per_gpu=4")
    assert key("trainer.accelerator=auto") == cpu
    # Estimators are fitted on CPUs, unless a network makes their codes.
    assert key("model=svm", "trainer=gpu") == key("model=svm")
    codes = ["model=svm", "representation=autoencoder"]
    assert key(*codes, "trainer=gpu") != key(*codes)
    monkeypatch.setattr(machine, "_has_driver", lambda: True)
    assert key("trainer.accelerator=auto") == gpu
    assert key() == cpu
    # Captured steps round differently, and there are none on a CPU.
    assert key("trainer=gpu", "trainer.graphs=false") != gpu
    assert key("trainer.graphs=false") == cpu


def test_saved_configuration_means_the_same_on_every_machine(
    composed: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = composed("trainer.accelerator=auto")
    for has_driver, expected in ((True, "gpu"), (False, "cpu")):
        monkeypatch.setattr(machine, "_has_driver", lambda found=has_driver: found)
        assert machine.with_accelerator(auto).trainer.accelerator == expected
    assert auto.trainer.accelerator == "auto"


def test_options_of_the_choice_of_a_layer_count_where_one_is_chosen(composed: Compose) -> None:
    chosen = ["features=encoder_chosen", "features.model=x"]
    other, jobs = "layer_choice.grid.C=[0.1]", "layer_choice.jobs=4"
    assert result_options(composed(*chosen)) == result_options(composed(*chosen, jobs))
    assert result_options(composed(*chosen)) != result_options(composed(*chosen, other))
    named = result_options(composed(*chosen, "features.layer=2", other))
    assert named == result_options(
        composed("features=encoder", "features.model=x", "features.layer=2")
    )


def test_segments_are_part_of_the_identity_of_runs_that_use_them(composed: Compose) -> None:
    for options in ([], ["model=svm", "representation=pca"], ["model=lstm", "features=lld"]):
        assert "segments" not in result_options(composed(*options))
    sequence = ["features=logmel80", "representation=vae", "model=lstm"]
    assert result_options(composed(*sequence))["segments"]["hop"] == 10
    assert result_options(composed(*sequence)) != result_options(
        composed(*sequence, "segments.hop=5")
    )


@pytest.mark.parametrize("name", ["softmax", "pyramid", "dnn_elm"])
def test_segments_are_part_of_the_identity_of_segment_models(name: str, composed: Compose) -> None:
    cut = result_options(composed(f"model={name}", "features=lld"))
    sequence = result_options(composed("features=lld", "representation=vae", "model=lstm"))
    assert cut["segments"] == sequence["segments"]
    assert result_options(composed(f"model={name}", "features=lld", "segments=context")) != cut


def test_identity_survives_moves_of_modules_of_this_project_only(composed: Compose) -> None:
    cfg = composed("model=aae", "trainer.stopping={_target_:ser.training.stopping.Converged}")
    content = result_options(cfg)
    moved = OmegaConf.create(
        yaml.safe_load(
            OmegaConf.to_yaml(cfg)
            .replace("ser.models.aae.", "ser.elsewhere.")
            .replace("ser.models.priors.", "ser.models.other_priors.")
        )
    )
    assert result_options(moved) == content
    foreign = OmegaConf.create(yaml.safe_load(OmegaConf.to_yaml(cfg).replace("optim.", "other.")))
    assert result_options(foreign) != content
    assert content["model"]["optimiser"]["_target_"] == "torch.optim.Adam"
    assert content["model"]["latents"]["z"]["prior"]["_target_"] == "Gaussian"


def test_no_two_classes_in_the_configuration_share_a_name() -> None:
    paths = {
        match
        for file in CONF.rglob("*.yaml")
        for match in re.findall(r"_target_: (ser\.\S+)", file.read_text())
    }
    assert len({path.rpartition(".")[2] for path in paths}) == len(paths) > 40
