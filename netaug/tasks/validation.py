"""Evaluate a network with all processes of a training: batches are dealt out to them in turns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from netaug.data.batch import Batch, Normalizer
from netaug.distributed.world import World, in_turns
from netaug.tasks.base import Task
from netaug.tasks.evaluate import added, collected, measure


def validate(
    network: nn.Module, loader: Iterable[Batch], normalizer: Normalizer, task: Task[Any, Any], world: World
) -> dict[str, float]:
    """Return the task's metrics over the batches of all processes, the same on each; all processes have to call it.

    Args:
        network: Plain, on the normalizer's device.
        loader: This process's batches.
        normalizer: Moves and normalizes images.
        task: Says what is measured.
        world: Who takes part.
    """
    with world.raise_on_all_ranks():
        measured = list(measure(network, loader, normalizer, task))
    sums = in_turns([batch.sums for batch in measured], world, normalizer.device)
    return task.judged(added(sums), rows_of_all(collected(measured), world, normalizer.device))


def rows_of_all(rows: Tensor | None, world: World, device: torch.device) -> Tensor | None:
    """Return the rows of all processes, by ranks, on every process; None where there are none.

    Args:
        rows: This process's, float64 ``[K, W]``, any K; None without any batch, or if the task collects none.
        world: Who takes part.
        device: Where messages are exchanged.
    """
    if world.size == 1:
        return rows
    shape = (-1, 0) if rows is None else tuple(rows.shape)
    shapes = world.gather(torch.tensor(shape, device=device)).tolist()
    if all(count < 0 for count, _ in shapes):
        return None
    # all-gather takes tensors of one shape only
    most, width = (max(column) for column in zip(*shapes, strict=True))
    padded = torch.zeros(most, width, dtype=torch.float64, device=device)
    if rows is not None:
        padded[: len(rows)] = rows
    gathered = world.gather(padded)
    return torch.cat([rows_KW[: max(0, count)] for rows_KW, (count, _) in zip(gathered, shapes, strict=True)])
