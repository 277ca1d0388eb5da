"""A preset fills in settings; what is named beside it wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from netaug.config import NetAugConfig, RunConfig
from netaug.config.loading import PRESETS, load_config, to_yaml
from netaug.config.settings import settings
from netaug.core.errors import ConfigError


def of(config: RunConfig, key: str) -> object:
    group, name = key.split(".")
    return getattr(getattr(config, group), name)


def test_the_papers_preset_is_the_default() -> None:
    for key, value in PRESETS["paper"].items():
        assert of(RunConfig(), key) == value
    assert load_config("demo/cifar10") == load_config("demo/cifar10", ["--netaug.preset", "paper"])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_settings_of_known_keys_and_types(name: str, tmp_path: Path) -> None:
    assert PRESETS[name].keys() <= settings().keys()
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"netaug: {{preset: {name}}}\n")
    named = [f"--{key}={'null' if value is None else value}" for key, value in PRESETS[name].items()]
    recipe_with_all = load_config(str(recipe))
    assert load_config(str(recipe), named) == recipe_with_all
    assert NetAugConfig(preset="paper").preset == "paper"


def test_on_the_command_line_it_wins_over_the_recipe_and_loses_to_other_words() -> None:
    """In either order."""
    fast = load_config("demo/cifar10", ["--netaug.preset=fast"])
    assert (fast.netaug.start, fast.distill.in_place) == (0.5, 1.0)
    assert fast.netaug.width == load_config("demo/cifar10").netaug.width
    words = ["--netaug.start=0.25", "--netaug.preset=fast", "--distill.in_place=0"]
    for order in (words, words[::-1]):
        mixed = load_config("demo/cifar10", order)
        assert (mixed.netaug.start, mixed.distill.in_place, mixed.netaug.preset) == (0.25, 0.0, "fast")


def test_in_a_recipe_it_loses_to_what_the_recipe_names_and_wins_over_its_base(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("netaug: {start: 0.1, augment_every: 2, width: [1, 3]}\n")
    (tmp_path / "own.yaml").write_text("base: base.yaml\nnetaug: {preset: fast, augment_every: 3}\n")
    found = load_config(str(tmp_path / "own.yaml"))
    assert (found.netaug.start, found.netaug.augment_every, found.netaug.width) == (0.5, 3, (1.0, 3.0))
    over = load_config(str(tmp_path / "own.yaml"), ["--netaug.preset", "paper"])
    assert (over.netaug.start, over.netaug.augment_every, over.distill.in_place) == (0.0, 1, 0.0)


def test_a_runs_settings_are_read_back_as_they_were(tmp_path: Path) -> None:
    config = load_config("demo/cifar10", ["--netaug.preset=fast", "--netaug.start=0.25"])
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load_config(str(tmp_path / "config.yaml")) == config
    again = load_config(str(tmp_path / "config.yaml"), ["--netaug.preset=fast"])
    assert again.netaug.start == 0.5


def test_an_unknown_one_is_refused_with_the_known() -> None:
    with pytest.raises(ConfigError, match=r"netaug\.preset(?s:.*)one of paper, fast"):
        load_config("demo/cifar10", ["--netaug.preset=quick"])
