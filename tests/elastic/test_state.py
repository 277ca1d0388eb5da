"""What a network counts, averages or remembers by itself is that of base passes; wide passes leave it alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from netaug import AugmentConfig, augment
from tests import tiny


class Running(nn.Module):
    """A norm by hand that lerps its mean in place and assigns its variance anew."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("var", torch.ones(channels, 1, 1))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.steps += 1
                self.mean.lerp_(x.mean((0, 2, 3)).view(-1, 1, 1), 0.1)
                self.var = 0.9 * self.var + 0.1 * x.var((0, 2, 3)).view(-1, 1, 1)
        return (x - self.mean) / (self.var + 1e-5).sqrt()


class Queue(nn.Module):
    """Remembers the mean features of the last batches, and subtracts what it remembers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("queue", torch.zeros(3, channels))
        self.register_buffer("end", torch.zeros((), dtype=torch.long))
        self.seen = torch.zeros(())  # no buffer, but updated in place all the same

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.queue[self.end % 3] = x.mean((0, 2, 3))
                self.end += 1
                self.seen.add_(len(x))
        return x - self.queue.mean(0).view(1, -1, 1, 1) * self.seen.clamp(max=1)


class CodeBook(nn.Module):
    """Moves the nearest code of each position towards it (VQ-VAE)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.linspace(-1, 1, 4).view(4, 1) * torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
        nearest = (flat[:, None] - self.codes).square().sum(2).argmin(1)
        if self.training:
            with torch.no_grad():
                self.codes.index_add_(0, nearest, 0.01 * flat)
        return x + self.codes[nearest].view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)


class OwnBatchNorm(nn.BatchNorm2d):
    """torch's batch norm, with a counter of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1.0
        return super().forward(x)


def _network(middle: nn.Module) -> nn.Module:
    first = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    end = nn.Sequential(nn.Conv2d(6, 7, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 5))
    return nn.Sequential(first, nn.Conv2d(8, 6, 3), middle, end)


def _spectral() -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(nn.Conv2d(6, 6, 1))


MIDDLES = {
    "running": lambda: Running(6),
    "queue": lambda: Queue(6),
    "codes": lambda: CodeBook(6),
    "batch norm": lambda: OwnBatchNorm(6),
    "spectral norm": _spectral,
}


@pytest.mark.parametrize("statistics", ["separate", "shared"])
@pytest.mark.parametrize("middle", MIDDLES)
def test_wide_passes_leave_what_a_module_keeps_to_base_passes(middle: str, statistics: str) -> None:
    """After steps of base and wide passes it is, to the bit, what the plain network has after as many steps."""
    torch.manual_seed(0)
    network, images = _network(MIDDLES[middle]()).train(), tiny.images()
    config = AugmentConfig(width=(1.0, 2.0), expand=(1.0, 2.0), batch_norm=statistics)  # type: ignore[arg-type]
    supernet = augment(network, images, config)
    for step in range(4):
        for pass_ in supernet.passes(step, progress=0.0, wide_first=step % 2 == 1):
            (pass_.weight * supernet(images).sum()).backward()
        network(images)
    shared = ("running_mean", "running_var", "num_batches_tracked") if statistics == "shared" else ()
    found, wanted = dict(supernet.base.named_buffers()), dict(network.named_buffers())
    assert found.keys() == wanted.keys()
    for name, buffer in found.items():
        if not name.endswith(shared) or not shared:
            assert torch.equal(buffer, wanted[name]), name
    if middle == "queue":
        assert supernet.base[2].seen == network[2].seen == 16  # type: ignore[index]
    supernet.eval()
    with torch.no_grad(), supernet.at(supernet.plan.widest):
        supernet(images)
    assert all(torch.equal(buffer, found[name]) for name, buffer in supernet.base.named_buffers())


def test_buffers_are_back_after_a_wide_pass_that_fails() -> None:
    network = _network(Running(6)).train()
    supernet = augment(network, tiny.images())
    before = dict(supernet.base.named_buffers())
    with pytest.raises(RuntimeError), supernet.at(supernet.plan.widest):
        supernet(torch.randn(4, 2, 8, 8))
    assert all(buffer is before[name] for name, buffer in supernet.base.named_buffers())


def test_buffers_held_in_two_places_stay_one_in_wide_passes() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.other, self.fc = nn.Conv2d(3, 6, 3), nn.Module(), nn.Linear(6, 5)
            self.register_buffer("steps", torch.zeros(()))
            self.other.register_buffer("steps", self.steps)

        def forward(self, x: Tensor) -> Tensor:
            self.steps += 1
            assert self.other.steps is self.steps
            return self.fc(self.conv(x).mean((2, 3)))  # type: ignore[no-any-return]

    supernet = augment(Twice(), tiny.images())
    supernet.use_widest()
    supernet(tiny.images())
    assert supernet.base.steps == 0
