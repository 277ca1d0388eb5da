"""No file chooses the code that runs: only a user's own command line names a factory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from netaug.cli import main
from netaug.config.loading import load_config
from netaug.config.trust import check_network
from netaug.core.errors import CheckpointError, ConfigError, ModelError, NetaugError, UntrustedNetworkError
from netaug.models.factory import load
from netaug.weights.metadata import load_weights

CARD = {
    "name": "micronet",
    "options": {},
    "num_classes": 2,
    "in_chans": 1,
    "class_names": ["a", "b"],
    "image_size": 8,
    "mean": [0.5],
    "std": [0.5],
    "crop_ratio": 1.0,
    "top1": None,
    "val_split": "val",
    "netaug_version": "0.1.0",
}
NETS = """\
from pathlib import Path
Path("IMPORTED").touch()
import torch
def build(*, num_classes, in_chans, **options):
    import parts
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64 * in_chans, num_classes))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the modules of a factory; importing it leaves a mark."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    for name in ("own_nets", "parts"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "own_nets.py").write_text(NETS)
    (tmp_path / "parts.py").write_text("")
    return tmp_path


def weights(folder: Path, **changes: object) -> Path:
    """A weights file of a linear layer whose card says what is asked for."""
    path = folder / "model.safetensors"
    tensors = {"1.weight": torch.zeros(2, 64), "1.bias": torch.zeros(2)}
    safetensors.torch.save_file(tensors, path, metadata={"netaug": json.dumps(CARD | changes)})
    return path


def imported(folder: Path) -> bool:
    return (folder / "IMPORTED").exists()


@pytest.mark.parametrize("name", ["own_nets:build", "yolov3:own_nets:build", "yolov3:yolov3:own_nets:build"])
def test_a_factory_in_a_card_is_not_imported(own: Path, name: str) -> None:
    path = weights(own, name=name)
    with pytest.raises(UntrustedNetworkError, match=name) as caught:
        load_weights(path)
    assert "--model.name" in str(caught.value)
    with pytest.raises(UntrustedNetworkError):
        load_weights(path, trusted={"own_nets:other"})
    assert not imported(own)


def test_a_factory_is_imported_where_the_user_names_it(own: Path) -> None:
    network, card = load_weights(weights(own, name="own_nets:build"), trusted={"own_nets:build"})
    assert card.name == "own_nets:build"
    assert network(torch.zeros(1, 1, 8, 8)).shape == (1, 2)
    assert imported(own)
    assert str(own) not in sys.path, "the working directory is importable for a factory alone"


@pytest.mark.parametrize("words", [["predict", "p.png"], ["eval", "--data.name=digits"]])
def test_the_refusal_shows_the_command_that_confirms(
    own: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.new("L", (8, 8)).save("p.png")
    weights(own, name="own_nets:build")
    command = [words[0], "model.safetensors", *words[1:]]
    assert main(command) == 2
    assert f"netaug {' '.join(command)} --model.name own_nets:build" in capsys.readouterr().err
    assert not imported(own)
    if words[0] == "predict":
        assert main([*command, "--model.name", "own_nets:build"]) == 0
        assert main([*command, "--trust", "own_nets:build"]) == 0
        assert imported(own)


def test_a_call_into_a_library_is_never_suggested(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "p.png").touch()
    for name in ("torch.hub:load", "os:system", "yolov3:subprocess:run"):
        weights(own, name=name, options={"repo_or_dir": "x"})
        assert main(["predict", "model.safetensors", "p.png"]) == 2
        said = capsys.readouterr().err
        assert "not imported" in said
        assert f"--model.name {name}" not in said


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint_path": "x.pth"},
        {"pretrained_cfg": {"hf_hub_id": "someone/net"}},
        {"pretrained_cfg_overlay": {"url": "http://127.0.0.1/x"}},
        {"cache_dir": "x"},
        {"features_only": True},
        {"anything": "hf-hub:someone/net"},
        {"anything": [{"deep": "/etc/passwd"}]},
    ],
)
def test_options_that_load_are_refused_in_a_card(own: Path, options: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="load a file or download"):
        load_weights(weights(own, name="timm:test_resnet", options=options))


@pytest.mark.parametrize(
    "name", ["hf-hub:someone/net", "resnet18.hf-hub:x/y", "local-dir:/tmp/x", "a/../resnet18"]
)
def test_places_are_no_names_of_timm(own: Path, name: str) -> None:
    with pytest.raises(NetaugError):
        load_weights(weights(own, name=f"timm:{name}"))


def test_harmless_options_are_taken() -> None:
    check_network("timm:resnet18", {"drop_rate": 0.1, "act_layer": "silu", "pretrained": False}, where="x")
    check_network("mobilenetv2-0.35", {"stem": 3}, where="x")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("model: {name: 'own_nets:build'}", UntrustedNetworkError),
        ("model: {name: 'yolov3:own_nets:build'}", UntrustedNetworkError),
        ("distill: {teacher: ['own_nets:build'], random_teacher: true}", UntrustedNetworkError),
        ("model: {name: 'timm:resnet18', options: {pretrained: true}}", ModelError),
        ("model: {name: 'timm:resnet18', options: {checkpoint_path: x}}", ModelError),
    ],
)
def test_a_recipe_names_no_code(own: Path, text: str, kind: type[Exception]) -> None:
    (own / "mine.yaml").write_text(text)
    with pytest.raises(kind):
        load_config("mine.yaml")
    assert not imported(own)
    load_config("mine.yaml", builds=False)  # what builds nothing may read it


def test_a_recipe_is_confirmed_on_the_command_line(own: Path) -> None:
    (own / "mine.yaml").write_text("model: {name: 'own_nets:build', options: {x: 1}}")
    assert load_config("mine.yaml", ["--model.name=own_nets:build"]).model.options == {"x": 1}
    assert load_config("mine.yaml", trusted=["own_nets:build"]).model.name == "own_nets:build"
    (own / "timm.yaml").write_text("model: {name: 'timm:resnet18', options: {pretrained: true}}")
    assert load_config("timm.yaml", ["--model.options.pretrained=true"]).model.options["pretrained"] is True
    with pytest.raises(ModelError):
        load_config("timm.yaml", ["--model.options.drop_rate=0.1"])


@pytest.mark.parametrize("command", ["train", "inspect", "distill-cache"])
def test_commands_refuse_a_recipe_that_names_code(
    own: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "mine.yaml").write_text("base: demo/digits\nmodel: {name: 'own_nets:build', options: {}}")
    assert main([command, "mine.yaml"]) == 2
    assert "--model.name own_nets:build" in capsys.readouterr().err
    assert not imported(own)


def test_a_class_path_in_settings_imports_nothing(own: Path) -> None:
    """Jsonargparse would import it."""
    (own / "mine.yaml").write_text(
        "model: {options: {x: {class_path: own_nets.build}}}\n"
        "train: {optimizer_options: {x: {class_path: own_nets.build, init_args: {}}}}"
    )
    sys.path.append(str(own))
    config = load_config("mine.yaml", ["--model.options.y={class_path: own_nets.build}"])
    assert config.model.options["x"] == {"class_path": "own_nets.build"}
    assert not imported(own)


PLAN = """\
recipe: demo/digits
reference: a
{settings}
arms:
  a: {{}}
  b: {{set: {{{own}}}}}
"""


@pytest.mark.parametrize(
    ("settings", "own_settings"),
    [
        ("settings: {model.name: 'own_nets:build', model.options: {}}", "netaug.alpha: 2"),
        ("", "model.name: 'own_nets:build', model.options: {}"),
        ("", "model.name: 'timm:resnet18', model.options: {checkpoint_path: x}"),
        ("grid: {model.name: ['micronet', 'own_nets:build']}", "netaug.alpha: 2"),
    ],
)
def test_a_plan_names_no_code(
    own: Path, settings: str, own_settings: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "plan.yaml").write_text(PLAN.format(settings=settings, own=own_settings))
    assert main(["compare", "plan.yaml", "--seeds", "1", "--out", "out"]) == 2
    assert "Error" in capsys.readouterr().err
    assert not imported(own)
    assert not (own / "out").exists()


def test_a_factory_finds_the_modules_beside_it_and_hides_nothing(own: Path) -> None:
    before = list(sys.path)
    (own / "json.py").write_text("raise RuntimeError('the working directory came first')")
    assert callable(load("own_nets:build"))
    assert sys.path == before


def _deep(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": 30_000},
        {"image_size": True},
        {"crop_ratio": 1e-300},
        {"crop_ratio": "1"},
        {"options": {"num_classes": 5}},
        {"options": {"in_chans": 5}},
        {"options": {"channels": [10**9]}},
        {"options": {"channels": float("inf")}},
        {"options": [1]},
        {"mean": [1e300]},
        {"std": [1e-300]},
        {"class_names": "ab"},
        {"top1": "9" * 50},
        {"val_split": 3},
        {"name": "x" * 100_000},
        {"anchors": [[1e9, 1]]},
        {"widths": {"a": 10**9}},
        {"in_chans": 10**6},
    ],
)
def test_a_card_with_absurd_values_is_one_message(own: Path, changes: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        load_weights(weights(own, **changes))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000, "[]", "3", '{"name": NaN}', "1" * 5000])
def test_a_damaged_card_is_one_message(own: Path, text: str) -> None:
    path = own / "model.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, path, metadata={"netaug": text})
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(path)


@pytest.mark.parametrize("name", ["mobilenetv2-900", "timm:vit_huge_patch14_224"])
def test_a_network_larger_than_its_file_is_not_built(
    own: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., nn.Module] = nn.Module.register_parameter  # type: ignore[assignment]

    def watched(module: nn.Module, key: str, parameter: nn.Parameter | None) -> None:
        assert parameter is None or parameter.is_meta, "memory was taken before the sizes were compared"
        real(module, key, parameter)

    monkeypatch.setattr(nn.Module, "register_parameter", watched)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_weights(weights(own, name=name))


def test_factories_are_given_the_number_of_classes_by_us_alone() -> None:
    for name in ("num_classes", "in_chans"):
        with pytest.raises(ConfigError, match=name):
            load_config("demo/digits", [f"--model.options.{name}=3"])
