"""Of several copies in a file the averaged one is taken, or the choice is named; what is beside it does not hinder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from netaug.config import ModelConfig
from netaug.core.errors import CheckpointError
from netaug.data import DataInfo
from netaug.train.build import build_model
from netaug.weights import load_weights, read_weights
from tests import tiny

State = dict[str, Tensor]


def network() -> nn.Module:
    return tiny.build("inverted")


def state(value: float = 0.25) -> State:
    """A state dict of this network whose floating-point tensors have one value."""
    return {
        name: torch.full_like(one, value) if one.is_floating_point() else one
        for name, one in network().state_dict().items()
    }


def under(prefix: str, tensors: State) -> State:
    return {prefix + name: one for name, one in tensors.items()}


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def loaded(path: Path, part: str | None = None) -> tuple[float, str]:
    """The value that the network got, and what was said."""
    model = network()
    said = str(load_weights(model, path, part=part))
    values = {one.flatten()[0].item() for one in model.state_dict().values() if one.is_floating_point()}
    assert len(values) == 1, "all tensors are of one copy"
    return values.pop(), said


GOOD, RAW = state(0.5), state(-1.0)
COUNTED = {"n_averaged": torch.tensor(5), **under("module.", GOOD)}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": RAW, "ema": GOOD}, "from its 'ema' (it also has model)"),
        ({"model": RAW, "model_ema": COUNTED}, "from its 'model_ema' (it also has model)"),
        ({"state_dict": RAW, "ema_state_dict": {"shadow": GOOD, "decay": 0.9}}, "'ema_state_dict.shadow'"),
        (
            {"net": RAW, "swa_model": COUNTED, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}},
            "'swa_model'",
        ),
        ({"params": RAW, "params_ema": GOOD}, "from its 'params_ema' (it also has params)"),
        (
            {
                "state_dict": GOOD,
                "current_model_state": RAW,
                "averaging_state": {"n_averaged": torch.tensor(2)},
            },
            "'state_dict'",
        ),
        (
            {"state_dict": {**under("model.", RAW), **under("ema_model.module.", GOOD)}},
            "'state_dict.ema_model.module' (it also has model)",
        ),
        (
            {**under("online_model.", RAW), **under("ema_model.", GOOD), "initted": torch.tensor(True)},
            "'ema_model' (it also has online_model)",
        ),
        (COUNTED, "names as in the network itself"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_averaged_weights_are_taken_and_it_is_said(tmp_path: Path, content: object, said: str) -> None:
    value, text = loaded(save(tmp_path / "x.pth", content))
    assert value == 0.5
    assert said in text


@pytest.mark.parametrize(
    "content",
    [
        {"epoch": 1, "model_state_dict": GOOD, "loss": 0.3},
        {"trained": GOOD, "epoch": 1},  # an unknown key, and the only one with tensors
        {"state_dict": under("net.", GOOD)},
        {"state_dict": under("student.", GOOD)},
        under("timm_model.", GOOD),
        {name.replace("down.", "down._orig_mod."): one for name, one in GOOD.items()},
        {name.replace("down.", "down._checkpoint_wrapped_module."): one for name, one in GOOD.items()},
        {**GOOD, "stem.total_ops": torch.tensor([7.0]), "total_params": torch.tensor([7.0])},
    ],
    ids=range(8),
)
def test_names_that_programs_give_are_seen_through(tmp_path: Path, content: object) -> None:
    value, text = loaded(save(tmp_path / "x.pth", content))
    assert value == 0.5
    assert "left out" not in text


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ({"criterion.pos_weight": torch.ones(3)}, "tensors left out: 1 of criterion"),
        (
            {"loss_fn.weight": torch.ones(3), "loss_fn.margin": torch.ones(1)},
            "tensors left out: 2 of loss_fn",
        ),
    ],
)
@pytest.mark.parametrize("prefix", ["", "model."])
def test_weights_of_a_loss_are_left_out_and_said(
    tmp_path: Path, prefix: str, beside: State, said: str
) -> None:
    value, text = loaded(save(tmp_path / "x.pth", {"state_dict": {**under(prefix, GOOD), **beside}}))
    assert value == 0.5
    assert text.endswith(said)


@pytest.mark.parametrize(
    ("content", "part", "message"),
    [
        (
            {"generator": RAW, "discriminator": GOOD},
            "discriminator",
            r"several networks(?s:.*)--part generator",
        ),
        (
            {**under("encoder_k.", RAW), **under("encoder_q.", GOOD)},
            "encoder_q",
            r"several times(?s:.*)encoder_k, encoder_q",
        ),
        (
            {"state_dict": {**under("a.", GOOD), "b.weight": torch.ones(2)}},
            "state_dict.a",
            r"--part state_dict\.a",
        ),
        ({"ema_fast": RAW, "ema_slow": GOOD}, "ema_slow", "several networks"),
        (
            {"state_dict": {**under("module.", GOOD), **under("model.", RAW)}},
            "state_dict.module",
            "several times",
        ),
    ],
)
def test_where_nothing_says_which_is_the_one_it_is_asked_and_can_be_named(
    tmp_path: Path, content: object, part: str, message: str
) -> None:
    path = save(tmp_path / "x.pth", content)
    with pytest.raises(CheckpointError, match=message):
        loaded(path)
    assert loaded(path, part)[0] == 0.5


def test_averaged_weights_that_do_not_fit_name_the_others(tmp_path: Path) -> None:
    """An average of the parameters alone has no statistics."""
    ema = {name: one for name, one in GOOD.items() if "running" not in name}
    path = save(tmp_path / "x.pth", {"model": RAW, "ema": ema})
    with pytest.raises(CheckpointError, match=r"missing: .*running(?s:.*)also has model: .*--part model"):
        loaded(path)
    assert loaded(path, "model")[0] == -1


def test_what_has_other_names_inside_is_still_refused(tmp_path: Path) -> None:
    for more in ({"extra.weight": torch.ones(2)}, {"classifier.scale": torch.ones(2)}):
        for prefix in ("", "module."):
            path = save(tmp_path / "x.pth", under(prefix, {**GOOD, **more}))
            with pytest.raises(CheckpointError, match="1 unexpected"):
                loaded(path)


@pytest.mark.parametrize("end", ["safetensors", "bin"])
def test_any_shard_gives_the_network_and_a_missing_one_is_named(tmp_path: Path, end: str) -> None:
    names = list(GOOD)
    for number, own in enumerate((names[:9], names[9:20], names[20:]), 1):
        path = tmp_path / f"model-{number:05d}-of-00003.{end}"
        tensors = {name: GOOD[name] for name in own}
        safetensors.torch.save_file(tensors, path) if end == "safetensors" else torch.save(tensors, path)
    for number in (1, 3):
        assert loaded(tmp_path / f"model-0000{number}-of-00003.{end}")[0] == 0.5
    (tmp_path / f"model-00002-of-00003.{end}").unlink()
    with pytest.raises(CheckpointError, match=r"one of 3 shards(?s:.*)missing: model-00002-of-00003"):
        loaded(path)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(CheckpointError, match="give one of the shards"):
        read_weights(tmp_path / "model.safetensors.index.json")


INFO = DataInfo("fake", tuple("abc"), 3, 32, (0.5,) * 3, (0.25,) * 3, 1.0, 12, 4, "val")
SMALL: dict[str, Any] = {"channels": [4, 6], "blocks": [1, 1], "strides": [2, 2]}


@pytest.mark.parametrize("absent", ["classifier.", "classifier.bias"])
def test_a_missing_classifier_names_the_new_head(tmp_path: Path, absent: str) -> None:
    config = ModelConfig(name="micronet", options=SMALL)
    full = build_model(config, INFO, 0).state_dict()
    path = save(tmp_path / "x.pth", {k: one for k, one in full.items() if not k.startswith(absent)})
    asked = ModelConfig(name="micronet", options=SMALL, weights=str(path))
    with pytest.raises(CheckpointError, match=r"has no classifier(?s:.*)model\.new_head true"):
        build_model(asked, INFO, 0)
    headless = ModelConfig(name="micronet", options=SMALL, weights=str(path), new_head=True)
    assert torch.equal(
        build_model(headless, INFO, 0).state_dict()["stem.conv.weight"], full["stem.conv.weight"]
    )


def test_without_a_command_line_a_missing_layer_names_what_to_keep(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", {k: one for k, one in GOOD.items() if not k.startswith("classifier.")})
    with pytest.raises(CheckpointError, match=r"2 missing(?s:.*)keep=\['classifier\.\*'\].*model\.new_head"):
        loaded(path)
    assert load_weights(network(), path, keep=["classifier.*"]).kept == (
        "classifier.weight",
        "classifier.bias",
    )


def test_a_checkpoint_that_refers_to_itself_in_many_ways_ends_soon(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content |= {f"key{number}": content for number in range(500)}
    with pytest.raises(CheckpointError, match="holds no network's tensors"):
        read_weights(save(tmp_path / "x.pth", content))
