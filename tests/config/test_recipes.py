"""Recipes and overrides become one checked configuration; a typo never passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from netaug.cli import main
from netaug.config import RunConfig
from netaug.config.loading import default_config, load_config, to_mapping, to_yaml
from netaug.config.recipes import find_recipe, recipe_names, recipe_summaries, recipe_text
from netaug.core.errors import ConfigError
from netaug.data import DataInfo
from netaug.models import default_image_size
from netaug.train.build import build_model


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", recipe_names())
def test_packaged_recipes_explain_themselves(name: str) -> None:
    text = recipe_text(name)
    assert len(recipe_summaries()[name]) > 20
    command = "finetune" if name.startswith("transfer/") else "train"
    for word in ("# command:", f"netaug {command} {name}", "# hardware:", "# expected:"):
        assert word in text
    if not name.startswith("demo/"):
        assert "--nnodes 2 --nproc-per-node 8" in text


TINY = ("mobilenetv2-tiny", "mobilenetv2-0.35", "mobilenetv3-0.35", "proxylessnas-0.35", "mcunet")
WIDTHS = {"mcunet": (1, 1.6, 2.2), "mobilenetv3-0.35": (1, 2, 3)}


@pytest.mark.parametrize("name", TINY)
def test_imagenet_recipes_are_the_papers(name: str) -> None:
    """arXiv:2110.08890: 5 + 150 epochs, width until epoch 80, batch 2048, weight decay 4e-5 (MobileNetV3 3e-5)."""
    config, plain = load_config(f"imagenet/{name}"), load_config(f"imagenet/{name}-baseline")
    assert (config.train.epochs, config.train.warmup_epochs, config.data.batch_size) == (155, 5, 2048)
    assert config.netaug.width_until * 155 == pytest.approx(80)
    assert config.train.label_smoothing == 0.1
    expected = (1.6, 3e-5) if name == "mobilenetv3-0.35" else (0.4, 4e-5)
    assert (config.train.lr, config.train.weight_decay) == expected
    assert config.data.image_size == default_image_size(name)
    assert config.netaug.expand == (1, 1.6, 2.2, 2.8)
    assert config.netaug.width == WIDTHS.get(name, (1, 1.8, 2.6))
    assert (config.model.init, config.netaug.enabled) == ("widest", True)
    assert (plain.model.init, plain.netaug.enabled) == ("fan_out", False)
    assert (plain.train, plain.data) == (config.train, config.data)
    more = load_config(f"imagenet21k/{name}")
    assert (more.data.name, more.train.epochs, more.data.batch_size) == ("imagenet21k", 20, 2048)
    assert replace(more.train, epochs=155, warmup_epochs=5) == config.train


# The paper's code: the rate for one of four GPUs and the classifier's dropout, in the order of TINY.
TRANSFER = {
    "food101": ((0.06, 0.1), (0.10, 0.2), (0.20, 0.2), (0.10, 0.2), (0.04, 0.1)),
    "flowers102": ((0.08, 0), (0.08, 0.3), (0.05, 0.6), (0.06, 0.2), (0.05, 0.4)),
    "cars": ((0.14, 0.2), (0.18, 0.5), (0.10, 0.7), (0.20, 0.2), (0.25, 0.1)),
    "cub200": ((0.04, 0.5), (0.02, 0.7), (0.02, 0.8), (0.04, 0.7), (0.08, 0.6)),
    "pets": ((0.06, 0.1), (0.01, 0.4), (0.01, 0.8), (0.01, 0.8), (0.01, 0.6)),
}


@pytest.mark.parametrize(
    ("name", "lr", "dropout", "decay"),
    [
        (f"{data}/{network}", 4 * lr, dropout, 3e-5 if network == "mobilenetv3-0.35" else 4e-5)
        for data, cells in TRANSFER.items()
        for network, (lr, dropout) in zip(TINY, cells, strict=True)
    ],
)
def test_transfer_recipes_are_the_papers(name: str, lr: float, dropout: float, decay: float) -> None:
    """The rate of a table's cell is that of one of four GPUs; 5 + 50 epochs, batch 256."""
    config = load_config(f"transfer/{name}")
    assert (config.train.lr, config.model.dropout, config.train.weight_decay) == (lr, dropout, decay)
    assert (config.train.epochs, config.train.warmup_epochs, config.data.batch_size) == (55, 5, 256)
    assert not config.netaug.enabled
    assert config.data.image_size == default_image_size(config.model.name)


def test_demo_digits_is_a_network_of_a_few_hundred_parameters() -> None:
    config = load_config("demo/digits")
    assert not config.data.flip
    info = DataInfo("digits", tuple("0123456789"), 1, 8, (0.3,), (0.4,), 1.0, 1, 1, "test")
    model = build_model(config.model, info, seed=0)
    assert 100 < sum(p.numel() for p in model.parameters()) < 1000


def test_overrides_win_over_the_recipe_and_the_last_one_wins() -> None:
    config = load_config(
        "demo/digits",
        [
            "--train.lr",
            "0.5",
            "--train.lr=0.25",
            "--netaug.width",
            "1,4",
            "--data.limit=null",
            "--model.options.stem",
            "5",
        ],
    )
    assert config.train.lr == 0.25
    assert config.netaug.width == (1.0, 4.0)
    assert config.model.options["stem"] == 5
    assert config.model.options["channels"] == load_config("demo/digits").model.options["channels"]
    assert load_config("demo/digits").train.lr != 0.25


def test_members_of_any_open_mapping_are_options() -> None:
    words = ["--train.optimizer=adamw", "--train.optimizer_options.betas", "[0.9, 0.95]"]
    config = load_config("demo/digits", [*words, "--train.optimizer_options.eps=1e-6"])
    assert config.train.optimizer_options == {"betas": [0.9, 0.95], "eps": "1e-6"}  # text: YAML wants 1.0e-6
    for word in ("--netaug.groups.stem=[1]", "--train.lr.x=1", "--model.options.=1"):
        with pytest.raises(ConfigError, match="is not a setting"):
            load_config("demo/digits", [word])


def test_a_saved_configuration_reads_back_equal(tmp_path: Path) -> None:
    words = ["--netaug.keep", "a*,b", "--train.lr", "1e-3", "--model.options", "{a: [1, 2]}"]
    config = default_config([*words, "--netaug.groups", '{"a.*": [1, 2.5]}', "--netaug.max_macs_ratio", "3"])
    assert config.netaug.keep == ("a*", "b")
    assert config.netaug.groups == {"a.*": (1.0, 2.5)}
    assert config.netaug.max_macs_ratio == 3.0
    path = write(tmp_path, to_yaml(config))
    assert load_config(path) == config
    assert yaml.safe_load(to_yaml(config)) == to_mapping(config)


def test_an_empty_recipe_is_the_defaults(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "# nothing\n")) == RunConfig()
    assert load_config(write(tmp_path, "train:\n")) == RunConfig()


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("train: {lrr: 1}", [], r"'train\.lrr' is not a setting.*did you mean 'train\.lr'"),
        ("trian: {lr: 1}", [], "'trian' is not a setting"),
        ("train: 3", [], "'train' is a group of settings"),
        ("train: {lr: fast}", [], r"train\.lr has a value of the wrong type.*'fast' \(str\).*float"),
        ("train: {epochs: 1.5}", [], r"train\.epochs has a value of the wrong type.*1\.5 \(float\).*int"),
        ("train: {lr: true}", [], r"train\.lr.*True \(bool\).*float"),
        ("data: {augment: smal}", [], r"data\.augment.*'smal'.*one of imagenet, small, detection, none"),
        ("netaug: {width: wide}", [], r"netaug\.width.*a list of float"),
        ("netaug: {groups: {a: 2}}", [], r"netaug\.groups.*a mapping of glob patterns to lists of float"),
        ("model: {options: 3}", [], r"model\.options.*a mapping"),
        ("- 1", [], "does not hold settings"),
        ("a: [", [], "is not YAML"),
        ("", ["--train.epocs", "3"], r"did you mean 'train\.epochs'"),
        ("", ["--data.lr", "3"], r"'data\.lr' is not a setting.*did you mean 'train\.lr'"),
        ("", ["--train.epochs", "many"], r"train\.epochs.*'many' \(str\).*int"),
        ("", ["--data.limit", "x"], r"data\.limit.*int or null"),
        ("", ["--train.epochs"], r"--train\.epochs needs a value"),
        ("", ["--train.epochs", "--train.lr"], r"--train\.epochs needs a value"),
        ("", ["stray"], "'stray' is not a setting"),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(
    tmp_path: Path, text: str, words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match="(?s)" + message):
        load_config(write(tmp_path, text), words)


def test_an_unknown_recipe_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean demo/digits"):
        find_recipe("demo/digts")
    with pytest.raises(ConfigError, match="imagenet/mcunet"):
        find_recipe("mcunet.yaml")


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(str(path))


def test_a_recipe_starts_from_its_base_and_says_only_what_differs(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("base: demo/digits\ntrain: {lr: 0.03}\n")
    config = load_config(write(tmp_path, "base: own.yaml\ntrain: {epochs: 7}\n"))
    digits = load_config("demo/digits")
    assert (config.train.lr, config.train.epochs) == (0.03, 7)
    assert config.model == digits.model
    assert digits.train.lr != 0.03


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: mine.yaml", "its own base"),
        ("base: demo/digts", "did you mean demo/digits"),
        ("base: 3", "'base' is"),
    ],
)
def test_a_base_that_cannot_be_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, text))


def test_the_list_names_a_baseline_with_its_recipe_and_can_be_a_part(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["recipes", "imagenet/"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len((*TINY, "resnet50"))
    assert all("[-baseline]" in line for line in lines)
    assert main(["recipes", "show", "imagenet/mcunet-baseline", "--resolved"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == to_mapping(load_config("imagenet/mcunet-baseline"))
