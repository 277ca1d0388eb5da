"""Anybody's own factory builds a model; every way it can go wrong has its own message."""

import sys

import pytest
import torch

from netaug.core.errors import ModelError
from netaug.models import create_model, default_image_size

SOURCE = """
from torch import nn

def build(*, num_classes, in_chans, hidden=4):
    return nn.Sequential(nn.Conv2d(in_chans, hidden, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(hidden, num_classes))

def strict(classes):
    return None

def needs_more(num_classes, in_chans, depth):
    return None

def forwards(**options):
    return nn.Linear(2, **options)

def returns_nothing(num_classes, in_chans):
    pass

def breaks(num_classes, in_chans):
    raise ValueError("no luck today")

CONSTANT = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the working directory, which is not on Python's path."""
    (tmp_path / "my_own_nets.py").write_text(SOURCE)
    (tmp_path / "my_broken_nets.py").write_text("import no_such_dependency\n")
    (tmp_path / "my_failing_nets.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield "my_own_nets"
    for name in ("my_own_nets", "my_broken_nets", "my_failing_nets"):
        sys.modules.pop(name, None)


def test_a_factory_gets_classes_channels_and_options(module):
    model = create_model(f"{module}:build", num_classes=5, in_chans=2, hidden=6)
    assert model(torch.rand(1, 2, 4, 4)).shape == (1, 5)
    assert model[0].out_channels == 6
    assert default_image_size(f"{module}:build") == 224


def failing(name, **options):
    with pytest.raises(ModelError) as caught:
        create_model(name, **options)
    return caught.value


def test_a_factory_that_takes_other_arguments_is_told_the_form(module):
    error = failing(f"{module}:strict")
    assert "does not accept num_classes and in_chans" in error.where
    assert "strict(classes)" in error.got
    assert "num_classes: int, in_chans: int" in error.allowed


def test_a_factory_that_passes_the_arguments_on_is_told_the_form(module):
    error = failing(f"{module}:forwards")
    assert "unexpected keyword argument" in error.where
    assert "num_classes: int, in_chans: int" in error.allowed


def test_a_factory_that_needs_more_says_what(module):
    error = failing(f"{module}:needs_more")
    assert "also needs depth" in error.where
    assert "options" in error.fix


def test_an_unknown_option_names_the_nearest(module):
    error = failing(f"{module}:build", hiden=4)
    assert "no option 'hiden'" in error.where
    assert "'hidden'" in error.fix


def test_an_error_inside_the_factory_tells_where(module):
    error = failing(f"{module}:breaks")
    assert "ValueError: no luck today" in error.where
    assert "my_own_nets.py:" in error.where
    assert isinstance(error.__cause__, ValueError)


def test_a_factory_must_return_a_module(module):
    assert "did not return a model" in failing(f"{module}:returns_nothing").where


@pytest.mark.parametrize("attribute", ["biuld", "CONSTANT", ""])
def test_a_function_that_is_not_there_is_refused(module, attribute):
    for call in (create_model, default_image_size):
        with pytest.raises(ModelError, match=f"no function '{attribute}'") as caught:
            call(f"{module}:{attribute}")
    if attribute == "biuld":
        assert f"'{module}:build'" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "near"), [("my_own_net:build", "'my_own_nets'"), ("torch.optm:build", "'torch.optim'")]
)
def test_a_module_that_is_not_there_names_the_nearest(module, name, near):
    error = failing(name)
    assert "there is no module" in error.where
    assert near in error.fix


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my_broken_nets:build", "no_such_dependency"),
        ("my_failing_nets:build", "ZeroDivisionError"),
        (":build", "Empty module name"),
        ("..nets:build", "relative"),
    ],
)
def test_a_module_that_does_not_import_says_why(module, name, reason):
    error = failing(name)
    assert "importing module" in error.where
    assert reason in error.where
