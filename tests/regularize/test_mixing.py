"""Mixup and CutMix against their formulas, with draws that depend on seed, step and part alone."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import v2

from netaug.config.regularize import RegularizeConfig
from netaug.core.seeding import seeded
from netaug.regularize.mixing import Mixer, make_mixer
from netaug.tasks import ClassificationTask
from netaug.tasks.base import Losses
from tests import tiny

X, Y = tiny.images(6, 8), torch.tensor([0, 1, 2, 3, 4, 0])


def mixer(**settings: float) -> Mixer:
    made = make_mixer(RegularizeConfig(**settings), 5, seed=3)  # type: ignore[arg-type]
    assert made is not None
    return made


def test_mixup_is_a_weighted_mean_of_images_and_of_labels() -> None:
    """An image is lam x_i + (1 - lam) x_j and y likewise; j is the image before i."""
    images, shares = mixer(mixup=1.0)(X, Y, step=7)
    lam = shares[1, 1].item()
    assert 0 < lam < 1
    torch.testing.assert_close(images, lam * X + (1 - lam) * X.roll(1, 0))
    own = torch.eye(5)[Y]
    torch.testing.assert_close(shares, lam * own + (1 - lam) * own.roll(1, 0))


def test_cutmix_puts_in_a_box_and_shares_labels_by_area() -> None:
    images, shares = mixer(cutmix=1.0)(X, Y, step=1)
    put_in = (images == X.roll(1, 0)).all(1)
    assert bool(((images == X).all(1) | put_in).all())
    area = put_in[1].sum().item() / 64
    assert 0 < area < 1
    assert shares[1].tolist() == pytest.approx([area, 1 - area, 0, 0, 0])
    down, right = put_in[1].any(1).sum(), put_in[1].any(0).sum()
    assert int(down * right) == int(put_in[1].sum()), "the part put in is a box"


def test_it_is_torchvisions_on_the_same_draws() -> None:
    with seeded(3, "mix", 7, 2):
        torch.rand(2)
        expected = v2.MixUp(alpha=0.4, num_classes=5)(X, Y)
    found = mixer(mixup=0.4)(X, Y, step=7, part=2)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


def test_draws_depend_on_step_and_part_and_leave_torchs_generator_alone() -> None:
    subject = mixer(mixup=1.0, cutmix=1.0)
    torch.manual_seed(5)
    first = subject(X, Y, 0, 0)[0]
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    assert torch.equal(first, subject(X, Y, 0, 0)[0])
    assert not torch.equal(first, subject(X, Y, 0, 1)[0])
    assert not torch.equal(first, subject(X, Y, 1, 0)[0])


def test_both_take_turns_and_some_batches_stay() -> None:
    subject = mixer(mixup=1.0, cutmix=1.0, cutmix_share=0.3, mix_probability=0.8)
    kinds = {"none": 0, "cutmix": 0, "mixup": 0}
    for step in range(300):
        images, targets = subject(X, Y, step)
        if targets is Y:
            kinds["none"] += 1
        else:
            copied = ((images == X) | (images == X.roll(1, 0))).all()
            kinds["cutmix" if copied else "mixup"] += 1
    # 300 draws with probabilities 0.2, 0.24 and 0.56; more than four standard deviations of room
    assert 30 < kinds["none"] < 90
    assert 40 < kinds["cutmix"] < 105
    assert 130 < kinds["mixup"] < 206


def test_loss_of_mixed_labels_is_the_mixed_loss_smoothing_included() -> None:
    task, outputs = ClassificationTask(0.1), torch.randn(6, 5)
    _, shares = mixer(mixup=1.0)(X, Y, step=7)
    lam = shares[1, 1].item()
    expected = lam * task.loss(outputs, Y) + (1 - lam) * task.loss(outputs, Y.roll(1, 0))
    torch.testing.assert_close(task.loss(outputs, shares), expected)
    sums = task.sums(outputs, shares, Losses(expected))
    right = (outputs.argmax(1) == (Y if lam > 0.5 else Y.roll(1, 0))).sum()
    assert sums[1].item() == right.item()


def test_nothing_to_mix_makes_no_mixer() -> None:
    assert make_mixer(RegularizeConfig(dropout=0.1), 5, seed=0) is None
