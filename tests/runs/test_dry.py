"""Networks that cannot be built are refused before data are read."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small import Composed

from ser.config import CONF, choices
from ser.errors import UserError
from ser.runs.dry import require_buildable


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=aae", "model.classifier=null"], "classification needs a classifier"),
        (["model=aae", "model.phases=[generator]"], "generator needs discriminator before it"),
        (["model=aae", "model.phases=[]"], "model: phases: there are none"),
        (["model=aae", "model.discriminator.hidden=[]"], "model cannot be built: IndexError"),
        (["model=aae", "+model.latents.z.sizes=3"], "model cannot be built: TypeError: .*sizes"),
        (["model.encoder.dropout=[0.5]"], "one number, or 2, one per layer"),
        (["model.encoder.hidden=[60000,60000]"], "3,982,740,004 parameters; at most"),
        (
            ["representation=aae", "model=svm", "+representation.module.hiden=2"],
            "representation cannot be built: TypeError: .*hiden",
        ),
    ],
)
def test_what_networks_refuse_is_known_at_once(
    overrides: list[str], message: str, composed: Callable[..., Composed]
) -> None:
    with pytest.raises(UserError, match=message):
        require_buildable(composed(*overrides)[0])


@pytest.mark.parametrize("name", [*choices("model"), "parthasarathy2019/frame_aae"])
def test_random_numbers_of_training_do_not_depend_on_it(
    name: str, composed: Callable[..., Composed]
) -> None:
    cfg, _ = composed(f"experiment={name}" if "/" in name else f"model={name}", "features=logmel40")
    state = torch.get_rng_state()
    require_buildable(cfg)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "name",
    sorted(
        f"{folder}/{path.stem}"
        for folder in ("benchmark", "encoders")
        for path in (CONF / "experiment" / folder).glob("*.yaml")
    ),
)
def test_networks_of_experiments_on_encoders_can_be_built(
    name: str,
    composed: Callable[..., Composed],
    tiny_encoders: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SER_ENCODER", str(tiny_encoders / "wavlm"))
    cfg, _ = composed(f"experiment={name}")
    assert cfg.features.get("model", "") in ("", str(tiny_encoders / "wavlm"))
    require_buildable(cfg)
