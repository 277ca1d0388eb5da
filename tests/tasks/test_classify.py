"""Loss and accuracy are those of the textbook, and sums of batches add."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from netaug.data.batch import ClassificationBatch
from netaug.tasks import ClassificationTask
from netaug.tasks.base import Losses


def test_loss_is_smoothed_cross_entropy_written_out() -> None:
    logits_NC, labels_N = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    target_NC = torch.full((6, 4), 0.2 / 4)
    target_NC[torch.arange(6), labels_N] += 0.8
    expected = -(target_NC * logits_NC.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(ClassificationTask(0.2).loss(logits_NC, labels_N), expected)


def test_sums_of_uneven_batches_give_the_metrics_of_the_whole() -> None:
    task = ClassificationTask()
    logits_NC, labels_N = torch.randn(7, 3), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    parts = [slice(0, 5), slice(5, 7)]
    sums = sum(task.sums(logits_NC[p], labels_N[p], task.losses(logits_NC[p], labels_N[p])) for p in parts)
    assert isinstance(sums, torch.Tensor)
    metrics = task.metrics(sums)
    right = int((logits_NC.argmax(1) == labels_N).sum())
    assert metrics["top1"] == 100 * right / 7
    assert metrics["loss"] == pytest.approx(float(task.loss(logits_NC, labels_N)))


def test_top5_is_measured_in_evaluations_of_more_than_five_classes() -> None:
    task = ClassificationTask()
    logits_NC = torch.arange(7.0).repeat(4, 1)  # the likeliest classes are 6, 5, 4, 3, 2
    parts = [torch.tensor([6, 2, 1]), torch.tensor([0])]
    rows = [
        task.rows(
            logits_NC[: len(labels)], ClassificationBatch(torch.zeros(len(labels), 1, 1, 1), labels, labels)
        )
        for labels in parts
    ]
    collected = torch.cat([row for row in rows if row is not None])
    sums = task.sums(logits_NC, torch.cat(parts), task.losses(logits_NC, torch.cat(parts)))
    assert task.judged(sums, collected)["top5"] == 50.0
    assert "top5" not in task.judged(sums, None)
    labels = torch.tensor([0])
    assert task.rows(torch.zeros(1, 5), ClassificationBatch(torch.zeros(1, 1, 1, 1), labels, labels)) is None


def test_predictions_are_the_likeliest_first() -> None:
    probabilities, classes = ClassificationTask().predictions(torch.tensor([[0.0, 2.0, 1.0]]).log(), top=2)
    assert classes.tolist() == [[1, 2]]
    torch.testing.assert_close(probabilities, torch.tensor([[2 / 3, 1 / 3]]))


def test_more_predictions_than_classes_are_all_of_them() -> None:
    probabilities, _ = ClassificationTask().predictions(torch.randn(2, 3), top=5)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2))


@pytest.mark.parametrize("classes_at_hand", [4, 6])
def test_mean_per_class_accuracy_of_uneven_classes_is_sklearns(classes_at_hand: int) -> None:
    """Also over uneven batches, and with classes that have no image."""
    task = ClassificationTask(per_class=6)
    drawn = torch.Generator().manual_seed(classes_at_hand)
    labels_N = (torch.rand(200, generator=drawn) ** 3 * classes_at_hand).long()
    logits_NC = torch.randn(200, 6, generator=drawn)
    logits_NC[:, classes_at_hand:] -= 99  # sklearn warns of predicted classes that no label has
    logits_NC[torch.arange(100), labels_N[:100]] += 2
    parts = [slice(0, 130), slice(130, 131), slice(131, 200)]
    sums = [task.sums(logits_NC[p], labels_N[p], Losses(torch.tensor(0.0))) for p in parts]
    assert {part.shape for part in sums} == {(15,)}  # a fixed size: processes may add them
    found = task.metrics(torch.stack(sums).sum(0))
    expected = balanced_accuracy_score(labels_N.numpy(), logits_NC.argmax(1).numpy())
    assert found["mean_per_class"] == pytest.approx(100 * expected, abs=1e-12)
    assert found["top1"] != pytest.approx(found["mean_per_class"], abs=0.5)
    assert "mean_per_class" not in ClassificationTask().metrics(sums[0][:3])
