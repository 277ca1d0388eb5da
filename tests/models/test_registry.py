"""Every registered model builds by its name, and every wrong name or number says what would be right."""

import re

import pytest
import torch

from netaug.core.errors import ModelError
from netaug.models import create_model, default_image_size, describe_models, list_models
from netaug.models.registry import register

SMALL = 32


@pytest.mark.parametrize("name", list_models())
def test_every_model_maps_images_to_logits(name):
    model = create_model(name, num_classes=7, in_chans=2).eval()
    assert model(torch.rand(2, 2, SMALL, SMALL)).shape == (2, 7)
    assert default_image_size(name) >= SMALL


@pytest.mark.parametrize("name", list_models())
def test_every_parameter_gets_a_gradient(name):
    model = create_model(name, num_classes=3)
    model(torch.rand(2, 3, 64, 64)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", list_models())
def test_the_global_seed_repeats_the_initial_weights(name):
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in create_model(name, num_classes=5).parameters()])

    first = weights(1)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


@pytest.mark.parametrize("name", list_models())
def test_every_model_has_one_line_about_it(name):
    about = describe_models()[name]
    assert about
    assert "\n" not in about


@pytest.mark.parametrize("name", list_models())
def test_dropout_acts_in_training_only(name):
    torch.manual_seed(0)
    model = create_model(name, num_classes=5, dropout=0.5)
    features_NC = torch.ones(1, model.classifier.in_features)
    assert (model.dropout(features_NC) == 0).any()
    assert torch.equal(model.eval().dropout(features_NC), features_NC)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mcunnet", "'mcunet'"),
        ("MCUNet", "'mcunet'"),
        ("mobilnetv2-0.35", "'mobilenetv2-0.35'"),
        ("mobilenetv2-wide", "'mobilenetv2-tiny'"),
        ("resnet18", "'timm:resnet18'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, hint):
    for call in (create_model, default_image_size):
        with pytest.raises(ModelError) as caught:
            call(name)
        assert hint in caught.value.fix
        assert "mcunet" in caught.value.allowed


@pytest.mark.parametrize("name", ["mobilenetv2-0", "mobilenetv2-0.0", "mobilenetv2-" + "9" * 400])
def test_a_width_must_be_positive_and_finite(name):
    with pytest.raises(ModelError, match="not positive"):
        create_model(name)


@pytest.mark.parametrize("key", ["num_classes", "in_chans"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True])
def test_counts_must_be_whole_and_positive(key, value):
    with pytest.raises(ModelError, match=key):
        create_model("micronet", **{key: value})


def test_an_unknown_option_is_refused_with_the_nearest():
    with pytest.raises(ModelError, match="no option 'dropuot'") as caught:
        create_model("mcunet", dropuot=0.1)
    assert caught.value.allowed == "dropout"
    assert "'dropout'" in caught.value.fix


@pytest.mark.parametrize("key", ["width", "name"])
def test_what_the_name_decides_is_not_an_option(key):
    with pytest.raises(ModelError, match=f"no option '{key}'"):
        create_model("mobilenetv2-0.35", **{key: 1.0})


@pytest.mark.parametrize("dropout", [-0.1, 1.0, "much"])
def test_dropout_out_of_range_is_refused(dropout):
    with pytest.raises(ModelError, match="dropout"):
        create_model("mcunet", dropout=dropout)


def test_two_models_cannot_share_a_name():
    with pytest.raises(AssertionError, match=re.escape("'mcunet'")):
        register("mcunet", about="", image_size=1)(object)
