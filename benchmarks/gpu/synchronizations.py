"""Checks that a step of the trainer never makes the host wait for the device.

On CUDA torch itself refuses what waits. On the CPU, where nothing waits, :class:`Waits` follows what is computed from
weights and images, and notes each time Python reads a value of it: that is what would wait on CUDA. Reading what was
drawn on the host, such as widths, is free on any device.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, cast
from unittest.mock import patch

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu.cases import CLASSES, networks, supernet_of
from benchmarks.gpu.parts import Figures, Setting, require
from netaug.config import TrainConfig
from netaug.data import ClassificationBatch, Data, DataInfo, Normalizer
from netaug.elastic import assembly
from netaug.elastic.plain_network import Network
from netaug.tasks import ClassificationTask
from netaug.train.metrics import Tally
from netaug.train.stability import CUDA_CHECK_EVERY
from netaug.train.trainer import Trainer

READING_OPERATIONS = ("_local_scalar_dense", "equal", "nonzero", "masked_select", "is_nonzero", "_unique2")
"""Operations whose result, or its shape, the host has to know."""
READING_METHODS = ("tolist", "numpy", "cpu", "__array__")
"""Methods of tensors that copy values to the host; on the CPU they run no operation that could be seen."""
_SIDE = 64


class Waits(TorchDispatchMode):
    """Notes each reading of a value that depends on given tensors, while it is entered.

    Args:
        sources: Weights, buffers, images and labels of a training.

    Attributes:
        readings: Names of the operations and methods, one per reading.
    """

    def __init__(self, sources: Iterable[Tensor]) -> None:
        super().__init__()
        self.readings: list[str] = []
        # Weak references keep the address of a freed storage from being given to another one.
        self._storages: dict[int, StorageWeakRef] = {}
        self._methods = _Methods(self)
        for tensor in sources:
            self._follow(tensor)

    def __enter__(self) -> Self:
        """Begin to watch operations and methods."""
        self._methods.__enter__()
        return cast(Self, super().__enter__())

    def __exit__(self, *error: Any) -> None:
        """End watching."""
        super().__exit__(*error)
        self._methods.__exit__(*error)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation; what it computes from followed tensors is followed too."""
        kwargs = kwargs or {}
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        follows = any(map(self.follows, inputs))
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            tensor.dtype is torch.bool for tensor in inputs[1:]
        )
        if follows and (name in READING_OPERATIONS or by_mask):
            self.readings.append(name)
        outputs = func(*args, **kwargs)
        if follows:
            for leaf in tree_leaves(outputs):
                if isinstance(leaf, Tensor):
                    self._follow(leaf)
        return outputs

    def follows(self, tensor: Tensor) -> bool:
        """Return whether a tensor depends on the sources."""
        return tensor.untyped_storage()._cdata in self._storages

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self._storages.setdefault(storage._cdata, StorageWeakRef(storage))


class _Methods(TorchFunctionMode):
    """Notes what :class:`Waits` cannot see: methods that are no operations on the CPU."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self._waits = waits

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in READING_METHODS and self._waits.follows(args[0]):
            self._waits.readings.append(name)
        return func(*args, **(kwargs or {}))


class _OneBatch:
    """Batches of random images, in page-locked memory where there is a GPU."""

    def __init__(self, is_pinned: bool, count: int = 8, batches: int = 100) -> None:
        drawn = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (count, 3, _SIDE, _SIDE), dtype=torch.uint8, generator=drawn)
        batch = ClassificationBatch(pixels, torch.arange(count) % CLASSES, torch.arange(count))
        self.batch, self._batches = batch.pin_memory() if is_pinned else batch, batches

    def __len__(self) -> int:
        return self._batches

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[ClassificationBatch]:
        """Yield the batch again and again."""
        return itertools.repeat(self.batch, self._batches - skip)


def trainer_of(
    network: Network, device: torch.device, **settings: Any
) -> tuple[Trainer, ClassificationBatch]:
    """Return a trainer that checks losses as rarely as on CUDA, and a batch for it."""
    names = tuple(f"class{number}" for number in range(CLASSES))
    info = DataInfo("noise", names, 3, _SIDE, (0.5,) * 3, (0.25,) * 3, 1.0, 800, 8, "val")
    loader = _OneBatch(is_pinned=device.type == "cuda")
    normalizer = Normalizer(info.mean, info.std, device, channels_last=True)
    network.to(memory_format=torch.channels_last)
    data = Data(info, cast(Any, loader), cast(Any, loader))
    config = TrainConfig(**{"epochs": 2, "lr": 0.01, "ema_decay": 0.9, "measure_gradients": 1, **settings})
    trainer = Trainer(network, data, ClassificationTask(0.1), normalizer, config)
    trainer._guard._every = trainer._spikes._every = CUDA_CHECK_EVERY
    network.train()
    return trainer, loader.batch


@contextmanager
def refused_waits(setting: Setting) -> Iterator[None]:
    """Let torch raise an error in the block where the host would wait for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def readings_of(trainer: Trainer, batch: ClassificationBatch, steps: Callable[[], None]) -> list[str]:
    """Return what steps read of the training's tensors, on the CPU."""
    sources = [*trainer.network.parameters(), *trainer.network.buffers(), batch.images_NCHW, batch.labels_N]
    with patch.object(assembly, "MOST_BLOCKS", 0), Waits(sources) as waits:  # gather, as a GPU does
        steps()
    return waits.readings


def synchronizations(setting: Setting) -> Figures:
    """Check three NetAug steps of the trainer after a first one, with averaged weights and measured gradients."""
    stage = "stages.1" if setting.small else "stages.3"
    forms: dict[str, dict[str, Any]] = {
        "paper": {},
        "from_stage": {"from_stage": stage},
        "palette": {"palette": 2},
    }
    for form, settings in forms.items():
        _, supernet = supernet_of(setting, networks(setting)[0], **settings)
        trainer, batch = trainer_of(supernet, setting.device)
        tally = Tally(trainer.task, trainer.network)
        trainer.step(0, batch, tally)  # makes the optimizer's states, and loads kernels

        def steps(trainer: Trainer = trainer, batch: Any = batch, tally: Tally = tally) -> None:
            for step in range(1, 4):
                trainer.step(step, batch, tally)

        if setting.is_cuda:
            with refused_waits(setting):
                steps()
        else:
            readings = readings_of(trainer, batch, steps)
            require(not readings, f"{form}: the host reads {', '.join(readings)}")
    return {"steps": 3.0 * len(forms)}
