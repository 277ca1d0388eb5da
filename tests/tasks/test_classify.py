"""Loss and accuracy are those of the textbook, and sums of batches add."""

from __future__ import annotations

import pytest
import torch

from netaug.tasks import ClassificationTask


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
    sums = sum(task.sums(logits_NC[p], labels_N[p], task.loss(logits_NC[p], labels_N[p])) for p in parts)
    assert isinstance(sums, torch.Tensor)
    metrics = task.metrics(sums)
    right = int((logits_NC.argmax(1) == labels_N).sum())
    assert metrics["top1"] == 100 * right / 7
    assert metrics["loss"] == pytest.approx(float(task.loss(logits_NC, labels_N)))


def test_predictions_are_the_likeliest_first() -> None:
    probabilities, classes = ClassificationTask().predictions(torch.tensor([[0.0, 2.0, 1.0]]).log(), top=2)
    assert classes.tolist() == [[1, 2]]
    torch.testing.assert_close(probabilities, torch.tensor([[2 / 3, 1 / 3]]))


def test_more_predictions_than_classes_are_all_of_them() -> None:
    probabilities, _ = ClassificationTask().predictions(torch.randn(2, 3), top=5)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2))
