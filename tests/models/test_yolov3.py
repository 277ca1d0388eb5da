"""The detector costs what the paper's does, starts calm, and refuses what cannot be built."""

import pytest
import torch

from netaug.core.errors import ModelError, ShapeError
from netaug.detect.anchors import COCO_ANCHORS
from netaug.detect.codec import decode
from netaug.models import backbone_of, create_model, default_image_size, describe_detectors
from netaug.profile import profile
from netaug.train.optim import layer_numbers

TINY = {"channels": (4, 6, 8, 8), "blocks": (1, 1, 1, 1), "strides": (2, 2, 2, 2), "neck": (4, 4, 6)}


@pytest.mark.parametrize(
    ("classes", "sides", "millions"),
    [
        (20, range(256, 417, 32), (100, 127, 156, 189, 225, 264)),
        (80, range(288, 449, 32), (153, 189, 229, 272, 319, 370)),
    ],
)
def test_the_papers_multiply_accumulates(classes, sides, millions):
    with torch.device("meta"):
        model = create_model("yolov3:mobilenetv2-0.35", num_classes=classes)
        macs = [profile(model, torch.empty(1, 3, side, side)).macs / 1e6 for side in sides]
    assert macs == pytest.approx(list(millions), rel=0.005)


@pytest.mark.parametrize(
    "name", ["mobilenetv2-0.35", "mcunet", "timm:mobilenetv3_small_050", "timm:test_byobnet", "timm:dla46_c"]
)
def test_three_maps_of_the_strides(name):
    model = create_model(f"yolov3:{name}", num_classes=2, in_chans=1)
    maps = model(torch.rand(2, 1, 96, 160))
    assert [tuple(one.shape) for one in maps] == [(2, 21, 12, 20), (2, 21, 6, 10), (2, 21, 3, 5)]
    sum(one.square().sum() for one in maps).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_backbones_last_map_of_each_stride_is_taken():
    images = torch.rand(2, 3, 64, 64)
    detector = create_model("yolov3:mobilenetv2-0.35", num_classes=2).eval()
    network = create_model("mobilenetv2-0.35").eval()
    missing, unexpected = network.load_state_dict(
        {
            name.removeprefix("backbone."): one
            for name, one in detector.state_dict().items()
            if "backbone" in name
        },
        strict=False,
    )
    assert not unexpected
    assert {name.split(".")[0] for name in missing} == {"last", "classifier"}
    x, outputs = network.stem(images), []
    for stage in network.stages:
        x = stage(x)
        outputs.append(x)
    for found, wanted in zip(detector.backbone(images), (outputs[2], outputs[4], outputs[6]), strict=True):
        assert torch.equal(found, wanted)


def test_a_fresh_detector_sees_hardly_any_objects_and_boxes_like_its_anchors():
    torch.manual_seed(0)
    model = create_model("yolov3:micronet", num_classes=4, **TINY).eval()
    decoded = decode(model(torch.rand(2, 3, 64, 64)), COCO_ANCHORS)
    objectness, classes = decoded.objectness_NP.sigmoid(), decoded.logits_NPC.sigmoid()
    assert objectness.mean().item() == pytest.approx(0.01, rel=0.2)
    assert classes.mean().item() == pytest.approx(0.25, rel=0.1)
    sizes = decoded.boxes_NP4[0, :, 2:] - decoded.boxes_NP4[0, :, :2]
    assert torch.allclose(sizes[:64], torch.tensor(COCO_ANCHORS[0]).expand(64, 2), rtol=0.2)


def test_the_global_seed_repeats_the_initial_weights():
    def weights(seed):
        torch.manual_seed(seed)
        model = create_model("yolov3:micronet", num_classes=4, **TINY)
        return torch.cat([one.flatten() for one in model.state_dict().values()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_a_side_that_is_no_multiple_of_32_is_refused():
    with pytest.raises(ShapeError, match="multiples of 32") as caught:
        create_model("yolov3:micronet", **TINY)(torch.rand(1, 3, 96, 100))
    assert 100 in caught.value.got


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("yolov3:micronet", {}, "strides 2, 4, 8"),
        ("yolov3:timm:vit_tiny_patch16_224", {}, "strides 16"),
        ("yolov3:timm:swin_tiny_patch4_window7_224", {}, "doesn't match model"),
        ("yolov3:mcunnet", {}, "'mcunet'"),
        ("yolov3:timm:resnet1", {}, "timm:resnet"),
        ("yolov3:", {}, "no model named ''"),
        ("yolov3:yolov3:mcunet", {}, "timm:NAME"),
        ("yolo:mcunet", {}, "no module 'yolo'"),
        ("yolov3:mcunet", {"dropout": 0.1}, "no effect"),
        ("yolov3:timm:resnet18", {"out_indices": (1, 2)}, "no effect"),
        ("yolov3:mcunet", {"nek": (8, 8, 8)}, "no option 'nek'"),
        ("yolov3:mcunet", {"neck": (8, 8)}, "three whole numbers"),
        ("yolov3:mcunet", {"neck": (8, 8, 0)}, "three whole numbers"),
        ("yolov3:mcunet", {"neck": 8}, "three whole numbers"),
    ],
)
def test_what_cannot_be_built_says_why(name, options, said):
    with pytest.raises(ModelError) as caught:
        create_model(name, num_classes=2, **options)
    assert said in str(caught.value)


def test_names_of_detectors():
    assert backbone_of("yolov3:timm:resnet18") == "timm:resnet18"
    assert backbone_of("timm:resnet18") is None
    assert default_image_size("yolov3:mcunet") == 416
    assert "yolov3:BACKBONE" in describe_detectors()


@pytest.mark.parametrize("name", ["mobilenetv2-0.35", "timm:mobilenetv3_small_050", "timm:resnet10t"])
def test_layers_are_counted_from_the_image_to_the_heads(name):
    layers = layer_numbers(create_model(f"yolov3:{name}", num_classes=2))
    parts = ("backbone", "neck", "heads")
    ranges = [[layer for key, layer in layers.items() if key.startswith(part)] for part in parts]
    assert min(ranges[0]) == 0
    assert max(ranges[0]) >= 4
    assert max(ranges[0]) < min(ranges[1]) == max(ranges[1]) < min(ranges[2]) == max(ranges[2])
    assert layers[next(iter(layers))] == 0  # the first convolution
