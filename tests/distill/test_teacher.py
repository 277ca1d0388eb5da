"""Teachers are frozen, fed in their own way, and matched to the data's classes by name."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import netaug
from netaug.config import DistillConfig, ModelConfig
from netaug.core.errors import ConfigError, ModelError
from netaug.data import DataInfo, Normalizer
from netaug.data.readers import wordnet
from netaug.distill.open_teacher import open_teachers
from netaug.distill.teacher import Feed, Teacher, Teachers
from netaug.train.build import make_card
from netaug.weights.metadata import save_weights
from tests import tiny

INFO = DataInfo("fake", tuple("abcde"), 3, 8, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), 1.0, 12, 4, "val")
CPU = torch.device("cpu")
PIXELS = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
IMAGES = Normalizer(INFO.mean, INFO.std, CPU, channels_last=False)(PIXELS)
OWN = Feed.of(INFO)


def test_pixels_are_normalized_and_resized_as_the_teacher_is_used_to() -> None:
    theirs = Feed(12, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    network = tiny.build("inverted").double().eval()
    found = Teacher("t", network, OWN, theirs)(IMAGES.double())
    pixels = F.interpolate(PIXELS.double() / 255, (12, 12), mode="bilinear", antialias=True)
    mean, std = (
        torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (theirs.mean, theirs.std)
    )
    expected = network((pixels - mean) / std).log_softmax(1)
    torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-5)


def test_a_teacher_fed_like_the_student_sees_the_very_same_bits() -> None:
    network = tiny.build("plain").eval()
    assert torch.equal(Teacher("t", network, OWN, OWN)(IMAGES), network(IMAGES).log_softmax(1))


def test_it_stays_frozen_and_in_evaluation_mode() -> None:
    network = tiny.build("plain")
    teacher = Teacher("t", network, OWN, OWN)
    nn.Sequential(teacher).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    out = teacher(IMAGES.clone().requires_grad_())
    assert not out.requires_grad
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_several_are_averaged(mean: str) -> None:
    members = [Teacher(str(seed), tiny.build("plain", seed), OWN, OWN) for seed in (1, 2, 3)]
    logits = torch.stack([member.network(IMAGES) for member in members]).double()
    found = Teachers(members, mean)(IMAGES)  # type: ignore[arg-type]
    by_hand = {"probabilities": logits.softmax(2).mean(0).log(), "logits": logits.mean(0).log_softmax(1)}
    torch.testing.assert_close(found, by_hand[mean].float())


def save(path: Path, names: tuple[str, ...] = INFO.class_names, seed: int = 0) -> nn.Module:
    """A weights file of a network for these classes; the network."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = netaug.create_model("mobilenetv2-tiny", num_classes=len(names))
    info = dataclasses.replace(INFO, class_names=names, image_size=32)
    save_weights(path, model, make_card(ModelConfig(), info, 50.0))
    return model.eval()


def opened(*teachers: Path | str, info: DataInfo = INFO, random: bool = False) -> Teachers:
    config = DistillConfig(teacher=tuple(map(str, teachers)), random_teacher=random)
    return open_teachers(config, info, CPU)


def test_a_weights_file_says_how_it_is_fed_and_classes_are_matched_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = save(tmp_path / "t.safetensors", names=tuple("ecadb"))
    found = opened(tmp_path / "t.safetensors")(IMAGES)
    scaled = F.interpolate(IMAGES, (32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = network(scaled)[:, [2, 4, 1, 3, 0]].log_softmax(1)  # a, b, c, d, e among e, c, a, d, b
    torch.testing.assert_close(found, expected)
    assert "in another order; they are matched by name" in caplog.text


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (tuple("abcd"), "4 classes"),
        (tuple("abcdX"), "1 of 5 classes are not among its own, such as 'e'"),
    ],
)
def test_other_classes_are_refused(tmp_path: Path, names: tuple[str, ...], says: str) -> None:
    save(tmp_path / "t.safetensors", names=names)
    with pytest.raises(ConfigError, match="other classes") as caught:
        opened(tmp_path / "t.safetensors")
    assert says in str(caught.value)
    assert "fine-tune it" in str(caught.value)


def test_classes_that_are_only_numbered_are_trusted_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path / "t.safetensors", names=tuple("01234"))
    opened(tmp_path / "t.safetensors")
    assert "no names to compare" in caplog.text


def test_names_without_weights_or_networks_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no weights of its own") as caught:
        opened("assembled_resnet50")
    assert "netaug import-weights FILE --model assembled_resnet50" in str(caught.value)
    with pytest.raises(ConfigError, match="there is no teacher 'runs/nothing'"):
        opened("runs/nothing")
    with pytest.raises(ConfigError, match="timm has no weights of the teacher"):
        opened("timm:mobilenetv2_035")
    with pytest.raises(ConfigError, match="'timm:resnet18' has other classes") as caught:
        opened("timm:resnet18")  # before anything is downloaded
    assert "1000 classes" in str(caught.value)
    with pytest.raises(ModelError, match="no model named 'resnet1'"):
        opened("timm:resnet1")
    other = tmp_path / "other.pth"
    torch.save(nn.Linear(2, 2).state_dict(), other)
    with pytest.raises(ConfigError, match="does not name the network of its weights"):
        opened(other)


def test_timms_weights_come_with_their_feed_and_imagenets_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of timm; its weights are not downloaded here."""
    from timm.data import ImageNetInfo

    from netaug.distill import open_teacher as opening

    asked: dict[str, object] = {}
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000))

    def create(name: str, **options: object) -> nn.Module:
        asked.update(options, name=name)
        return network

    monkeypatch.setattr(opening, "create_model", create)
    names = ImageNetInfo().label_names()
    info = dataclasses.replace(INFO, class_names=tuple(reversed(names)))
    found = opened("timm:mobilenetv2_100", info=info)
    assert asked == {"name": "timm:mobilenetv2_100", "num_classes": 1000, "in_chans": 3, "pretrained": True}
    member = found.members[0]
    assert isinstance(member, Teacher)
    assert member.feed == Feed(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    pixels = F.interpolate(PIXELS / 255, (224, 224), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values)[:, None, None] for values in (member.feed.mean, member.feed.std))
    expected = network((pixels - mean) / std).log_softmax(1).flip(1)
    torch.testing.assert_close(found(IMAGES), expected, atol=1e-4, rtol=1e-4)
    words = wordnet.class_names(tuple(names), wordnet.IMAGENET_1K)  # as the dataset `imagenet` names them
    named = opened("timm:mobilenetv2_100", info=dataclasses.replace(INFO, class_names=words))
    torch.testing.assert_close(named(IMAGES).flip(1), found(IMAGES))


def test_other_image_channels_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "t.safetensors")
    grey = dataclasses.replace(INFO, in_chans=1, mean=(0.5,), std=(0.5,))
    with pytest.raises(ConfigError, match="other channels"):
        opened(tmp_path / "t.safetensors", info=grey)


def test_random_weights_are_the_same_each_time_and_only_on_request() -> None:
    info = dataclasses.replace(INFO, image_size=32)
    images = torch.randn(2, 3, 32, 32)
    first, second = (opened("mobilenetv2-tiny", info=info, random=True)(images) for _ in range(2))
    assert torch.equal(first, second)


def test_fingerprints_tell_teachers_apart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    save(tmp_path / "one.safetensors")
    save(tmp_path / "same.safetensors")
    save(tmp_path / "other.safetensors", seed=1)
    save(tmp_path / "order.safetensors", names=tuple("ecadb"))
    one, same, other, order = (
        opened(tmp_path / f"{name}.safetensors").fingerprint() for name in ("one", "same", "other", "order")
    )
    assert one == same
    assert len({one, other, order}) == 3
