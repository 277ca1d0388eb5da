"""Hold CIFAR-10 at a small size in memory, and make augmented batches of it, for the search in `benchmarks.regime`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from netaug.config import DataConfig
from netaug.core.seeding import generator
from netaug.data.readers.digits import load_digits


@dataclass(frozen=True)
class Images:
    """Hold the images of one split in memory: uint8 ``[N, H, W, 3]`` and int64 labels ``[N]``."""

    pixels_NHWC: Tensor
    labels_N: Tensor


def load_digits_split(split: str) -> Images:
    """Return the built-in digits of 8 pixels, in the package's split, as gray in three channels."""
    source = load_digits(DataConfig(name="digits"))
    part = source.train if split == "train" else source.val
    assert part is not None, "the built-in digits have both splits"
    pixels_NCHW = torch.stack([part.images.read(index) for index in range(len(part))])
    gray_NHWC = pixels_NCHW.permute(0, 2, 3, 1)
    return Images(gray_NHWC.expand(-1, -1, -1, 3).contiguous(), torch.from_numpy(part.labels_N))


def load_split(root: Path, split: str, side: int, cache: Path) -> Images:
    """Read ``root/split/CLASS/*.jpg``, shrunk by area to ``side`` pixels, and keep the arrays in ``cache``."""
    path = cache / f"cifar10-{side}-{split}.npz"
    if not path.exists():
        from PIL import Image

        classes = sorted(folder.name for folder in (root / split).iterdir())
        pixels, labels = [], []
        for label, name in enumerate(classes):
            for file in sorted((root / split / name).iterdir()):
                with Image.open(file) as image:
                    small = image.convert("RGB").resize((side, side), Image.Resampling.BOX)
                pixels.append(np.asarray(small))
                labels.append(label)
        cache.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(temporary, pixels=np.stack(pixels), labels=np.array(labels))
        temporary.replace(path)
    arrays = np.load(path)
    return Images(torch.from_numpy(arrays["pixels"]), torch.from_numpy(arrays["labels"]))


@dataclass(frozen=True)
class Batch:
    """Hold the images of a training step.

    Args:
        images_NCHW: Normalized.
        labels_N: Their classes.
        variant_N: Which image in which crop, mirrored or not: its place in what :meth:`Batches.variants` yields.
    """

    images_NCHW: Tensor
    labels_N: Tensor
    variant_N: Tensor


class Batches:
    """Make normalized batches: padded, cropped and mirrored at random in training, unchanged in evaluation."""

    def __init__(
        self,
        images: Images,
        mean_C: Tensor,
        std_C: Tensor,
        *,
        mirrors: bool = True,
        device: torch.device | None = None,
    ) -> None:
        device = device or torch.device("cpu")
        self.images = images = Images(images.pixels_NHWC.to(device), images.labels_N.to(device))
        self.device, self.mirrors = device, mirrors
        mean_C, std_C = mean_C.to(device), std_C.to(device)
        self.mean_C, self.scale_C = mean_C, 1 / std_C
        self.side = images.pixels_NHWC.shape[1]
        self.pad = max(1, self.side // 8)
        pad = self.pad
        self.padded_NHWC = F.pad(images.pixels_NHWC, (0, 0, pad, pad, pad, pad))

    def _normalized(self, pixels_NHWC: Tensor) -> Tensor:
        return ((pixels_NHWC.float() - self.mean_C) * self.scale_C).permute(0, 3, 1, 2)

    def training(self, seed: int, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield the full batches of an epoch, a function of seed and epoch alone."""
        keyed = generator(seed, "epoch", epoch)
        count = len(self.images.labels_N)
        order_N = torch.randperm(count, generator=keyed)
        corner_N2 = torch.randint(0, 2 * self.pad + 1, (count, 2), generator=keyed)
        mirrored_N = (torch.rand(count, generator=keyed) < 0.5) & self.mirrors
        order_N, corner_N2, mirrored_N = (drawn.to(self.device) for drawn in (order_N, corner_N2, mirrored_N))
        along_S = torch.arange(self.side, device=self.device)
        for start in range(0, count - batch_size + 1, batch_size):
            index_B = order_N[start : start + batch_size]
            rows_BS = corner_N2[index_B, 0, None] + along_S
            cols_BS = (
                torch.where(mirrored_N[index_B, None], along_S.flip(0), along_S) + corner_N2[index_B, 1, None]
            )
            pixels = self.padded_NHWC[index_B[:, None, None], rows_BS[:, :, None], cols_BS[:, None, :]]
            corner_B, row_B = corner_N2[index_B, 1], corner_N2[index_B, 0]
            place_B = (row_B * (2 * self.pad + 1) + corner_B) * 2 + mirrored_N[index_B].long()
            yield Batch(self._normalized(pixels), self.images.labels_N[index_B], place_B * count + index_B)

    def variants(self) -> Iterator[Tensor]:
        """Yield all crops of all images, plain and mirrored, as images ``[n, 3, S, S]``, by ascending variant."""
        for row in range(2 * self.pad + 1):
            for column in range(2 * self.pad + 1):
                crops_NHWC = self.padded_NHWC[:, row : row + self.side, column : column + self.side]
                for pixels_NHWC in (crops_NHWC, crops_NHWC.flip(2)):
                    for part_NHWC in pixels_NHWC.split(1000):
                        yield self._normalized(part_NHWC)

    def score(self, network: nn.Module, most: int = 10**9) -> float:
        """Return top-1 in percent of the first ``most`` images in evaluation mode."""
        network.eval()
        labels_N = self.images.labels_N[:most]
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        with torch.inference_mode():
            for start in range(0, len(labels_N), 1000):
                outputs = network(
                    self._normalized(self.images.pixels_NHWC[start : start + 1000][: len(labels_N) - start])
                )
                right += (outputs.argmax(1) == labels_N[start : start + 1000]).sum()
        network.train()
        return 100 * int(right) / len(labels_N)
