"""ResNet50 is the usual one."""

import torch
import torchvision

from netaug.models import create_model, default_image_size
from netaug.profile import profile


def test_cost_is_the_published_one():
    assert default_image_size("resnet50") == 224
    with torch.device("meta"):
        cost = profile(create_model("resnet50"), torch.zeros(1, 3, 224, 224))
    assert f"{cost.macs / 1e9:.2f}G" == "4.09G"
    assert f"{cost.params / 1e6:.2f}M" == "25.56M"


def test_it_computes_what_torchvision_s_does():
    torch.manual_seed(0)
    with torch.device("meta"):
        model, reference = create_model("resnet50", num_classes=9), torchvision.models.resnet50(num_classes=9)
    shapes = [value.shape for value in model.state_dict().values()]
    assert sorted(shapes) == sorted(value.shape for value in reference.state_dict().values())
    model, reference = model.to_empty(device="cpu").eval(), reference.to_empty(device="cpu").eval()
    theirs = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        value = torch.randn(parameter.shape) * 0.02
        parameter.data.copy_(value)
        theirs[_torchvision_name(name)].data.copy_(value)
    for module in [*model.modules(), *reference.modules()]:
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            torch.nn.init.ones_(module.weight)
    images_NCHW = torch.rand(1, 3, 64, 64)
    logits_NK = model(images_NCHW)
    assert logits_NK.std() > 0
    torch.testing.assert_close(logits_NK, reference(images_NCHW))


def _torchvision_name(name: str) -> str:
    """The name in torchvision's ResNet of a parameter here."""
    parts = name.split(".")
    if parts[0] == "stages":
        parts[:2] = [f"layer{int(parts[1]) + 1}"]
    if parts[0] == "stem":
        return f"{'conv1' if parts[2] == 'conv' else 'bn1'}.{parts[-1]}"
    if parts[0] == "classifier":
        return f"fc.{parts[-1]}"
    return ".".join({"conv": "0", "norm": "1"}.get(part, part) for part in parts)
