"""timm's models build by name, offline unless asked, and its refusals become messages."""

import subprocess
import sys

import pytest
import torch

from netaug.core.errors import ModelError
from netaug.models import create_model, default_image_size


def test_a_timm_model_takes_classes_channels_and_options():
    torch.manual_seed(0)
    model = create_model("timm:mobilenetv3_small_050", num_classes=7, in_chans=1, drop_rate=0.3)
    assert model.eval()(torch.rand(1, 1, 32, 32)).shape == (1, 7)
    assert model.drop_rate == 0.3
    assert default_image_size("timm:mobilenetv3_small_050") == 224
    assert default_image_size("timm:inception_v3") == 299


def test_no_weights_are_loaded_unless_asked(monkeypatch):
    import timm

    seen = []
    monkeypatch.setattr(
        timm, "create_model", lambda name, **options: seen.append(options) or torch.nn.Identity()
    )
    create_model("timm:resnet18")
    create_model("timm:resnet18", pretrained=True)
    assert [options.get("pretrained", False) for options in seen] == [False, True]


def test_an_unknown_name_is_refused_with_the_nearest():
    for call in (create_model, default_image_size):
        with pytest.raises(ModelError, match="no model named 'resnet81'") as caught:
            call("timm:resnet81")
        assert "'timm:resnet18'" in caught.value.fix


def test_an_unknown_weights_tag_is_refused():
    for call in (create_model, default_image_size):
        with pytest.raises(ModelError, match="Invalid pretrained tag"):
            call("timm:resnet18.no_such_tag")


@pytest.mark.parametrize("option", ["no_such_option", "model_name"])
def test_an_option_timm_refuses_is_named(option):
    with pytest.raises(ModelError, match="cannot be built") as caught:
        create_model("timm:resnet18", **{option: 1})
    assert option in caught.value.where


@pytest.mark.slow
def test_timm_is_not_imported_for_our_own_models():
    code = (
        "import sys, netaug.models as m; m.create_model('micronet'); "
        "m.default_image_size('mcunet'); sys.exit('timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("error", [OSError("no route to host"), ConnectionError("refused")])
def test_a_failed_download_is_one_clear_message(monkeypatch, error):
    import timm

    def fail(name, **options):
        raise error

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(ModelError, match="cannot be downloaded") as caught:
        create_model("timm:resnet18", pretrained=True)
    assert caught.value.got == str(error)
    assert "--model.weights FILE" in caught.value.fix
    with pytest.raises(ModelError, match="cannot be built"):
        create_model("timm:resnet18")
