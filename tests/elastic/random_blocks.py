"""One block for every structure that convolutional networks are made of, to build random networks from.

A block takes and gives ``[N, C, L]`` or ``[N, C, H, W]`` (``dims`` is 1 or 2); it is made from ``dims``, the channels
it is given and a number that picks its sizes. :data:`WIDENING` are those whose every channel can be widened,
:data:`RIGID` those that fix some by what they compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BlockMaker = Callable[[int, int, int], nn.Module]
WIDENING: dict[str, BlockMaker] = {}
RIGID: dict[str, BlockMaker] = {}


class Block(nn.Module):
    """Modules and parameters by name, and what they compute."""

    def __init__(
        self, compute: Callable[[Block, Tensor], Tensor], **parts: nn.Module | nn.Parameter | Tensor
    ) -> None:
        super().__init__()
        self.compute = compute
        for name, part in parts.items():
            if isinstance(part, (nn.Module, nn.Parameter)):
                setattr(self, name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self, x)


def widening(maker: BlockMaker) -> BlockMaker:
    """Register a block all of whose channels can be widened."""
    WIDENING[maker.__name__] = maker
    return maker


def rigid(maker: BlockMaker) -> BlockMaker:
    """Register a block that fixes some of its channels."""
    RIGID[maker.__name__] = maker
    return maker


def conv(dims: int, inputs: int, outputs: int, kernel: int = 3, **settings: int | bool) -> nn.Module:
    """A convolution that keeps the size at stride 1."""
    return (nn.Conv1d, nn.Conv2d)[dims - 1](inputs, outputs, kernel, padding=kernel // 2, **settings)


def norm(dims: int, channels: int) -> nn.Module:
    """A batch norm."""
    return (nn.BatchNorm1d, nn.BatchNorm2d)[dims - 1](channels)


def unit(dims: int, inputs: int, outputs: int, kernel: int = 3, **settings: int | bool) -> nn.Sequential:
    """Convolution, batch norm, relu."""
    layer = conv(dims, inputs, outputs, kernel, bias=False, **settings)
    return nn.Sequential(layer, norm(dims, outputs), nn.ReLU())


def size(number: int) -> int:
    """A number of channels."""
    return (4, 5, 6, 8)[number % 4]


def even(number: int) -> int:
    """An even number of channels."""
    return (4, 6, 8, 12)[number % 4]


def positions(x: Tensor) -> tuple[int, ...]:
    """The dimensions behind the channels."""
    return tuple(range(2, x.dim()))


def per_channel(dims: int, channels: int) -> Tensor:
    """Different values per channel, shaped to meet activations."""
    return torch.linspace(0.5, 1.5, channels).view(channels, *[1] * dims)


def channels_last(x: Tensor) -> Tensor:
    """Move the channels behind the positions."""
    return x.permute(0, *positions(x), 1)


def channels_first(x: Tensor) -> Tensor:
    """Undo :func:`channels_last`."""
    return x.permute(0, x.dim() - 1, *range(1, x.dim() - 1))


# Layers in a row


@widening
def plain(dims: int, channels: int, number: int) -> nn.Module:
    return unit(dims, channels, size(number))


@widening
def strided(dims: int, channels: int, number: int) -> nn.Module:
    return Block(
        lambda b, x: F.gelu(b.layer(F.pad(x, [0, 1] * dims))),
        layer=conv(dims, channels, size(number), stride=2),
    )


@widening
def depthwise(dims: int, channels: int, number: int) -> nn.Module:
    return unit(dims, channels, channels, groups=channels)


@widening
def depth_multiplier(dims: int, channels: int, number: int) -> nn.Module:
    return unit(dims, channels, 2 * channels, groups=channels)


@widening
def grouped(dims: int, channels: int, number: int) -> nn.Module:
    inner = even(number)
    return nn.Sequential(conv(dims, channels, inner, 1), unit(dims, inner, even(number + 1), groups=2))


@widening
def transposed(dims: int, channels: int, number: int) -> nn.Module:
    layer = (nn.ConvTranspose1d, nn.ConvTranspose2d)[dims - 1](size(number), size(number + 1), 2, 2)
    return nn.Sequential(conv(dims, channels, size(number), stride=2), layer, norm(dims, size(number + 1)))


@widening
def tokens_linear(dims: int, channels: int, number: int) -> nn.Module:
    layer = nn.Linear(channels, size(number))
    return Block(lambda b, x: channels_first(F.silu(b.layer(channels_last(x)))), layer=layer)


@widening
def shared_layer(dims: int, channels: int, number: int) -> nn.Module:
    layer = conv(dims, channels, channels)
    return Block(lambda b, x: b.layer(F.relu(b.layer(x))), layer=layer)


@widening
def shared_apart(dims: int, channels: int, number: int) -> nn.Module:
    """One layer on two branches, each with its own norm."""
    hidden = size(number)
    return Block(
        lambda b, x: torch.cat(
            [b.norm1(b.layer(x)), b.norm2(b.layer(F.max_pool1d(x, 1) if dims == 1 else x))], 1
        ),
        layer=conv(dims, channels, hidden),
        norm1=norm(dims, hidden),
        norm2=norm(dims, hidden),
    )


@widening
def prelu(dims: int, channels: int, number: int) -> nn.Module:
    return nn.Sequential(conv(dims, channels, size(number)), nn.PReLU(size(number)))


@widening
def layer_norm(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: channels_first(b.norm(channels_last(x))), norm=nn.LayerNorm(channels))


@widening
def norm_by_hand(dims: int, channels: int, number: int) -> nn.Module:
    """Channels-first layer norm written out with means over channels."""

    def compute(b: Block, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        return centred * torch.rsqrt(centred.square().mean(1, keepdim=True) + 1e-5) * b.scale + b.shift

    return Block(
        compute,
        scale=nn.Parameter(per_channel(dims, channels)),
        shift=nn.Parameter(per_channel(dims, channels) - 1),
    )


@widening
def group_norm(dims: int, channels: int, number: int) -> nn.Module:
    return nn.Sequential(conv(dims, channels, even(number)), nn.GroupNorm(2, even(number)))


@widening
def one_group_norm(dims: int, channels: int, number: int) -> nn.Module:
    return nn.GroupNorm(1, channels)


@widening
def instance_norm(dims: int, channels: int, number: int) -> nn.Module:
    return (nn.InstanceNorm1d, nn.InstanceNorm2d)[dims - 1](channels, affine=True)


# Branches that add


@widening
def residual(dims: int, channels: int, number: int) -> nn.Module:
    hidden = size(number)
    return Block(
        lambda b, x: F.relu(x + b.out(b.hidden(x))),
        hidden=unit(dims, channels, hidden),
        out=conv(dims, hidden, channels),
    )


@widening
def inverted(dims: int, channels: int, number: int) -> nn.Module:
    hidden = channels + size(number)
    layers = unit(dims, channels, hidden, 1), unit(dims, hidden, hidden, groups=hidden)
    return nn.Sequential(*layers, conv(dims, hidden, size(number + 1), 1))


@widening
def convnext(dims: int, channels: int, number: int) -> nn.Module:
    hidden = channels + size(number)
    return Block(
        lambda b, x: (
            x + channels_first(b.scale * b.out(F.gelu(b.hidden(b.norm(channels_last(b.depthwise(x)))))))
        ),
        depthwise=conv(dims, channels, channels, groups=channels),
        norm=nn.LayerNorm(channels),
        hidden=nn.Linear(channels, hidden),
        out=nn.Linear(hidden, channels),
        scale=nn.Parameter(torch.full((channels,), 0.5)),
    )


@widening
def reparameterised(dims: int, channels: int, number: int) -> nn.Module:
    return Block(
        lambda b, x: F.relu(b.wide(x) + b.point(x) + b.skip(x)),
        wide=conv(dims, channels, channels),
        point=conv(dims, channels, channels, 1),
        skip=norm(dims, channels),
    )


@widening
def layer_scale(dims: int, channels: int, number: int) -> nn.Module:
    return Block(
        lambda b, x: x + b.scale * b.layer(x),
        layer=conv(dims, channels, channels),
        scale=nn.Parameter(per_channel(dims, channels)),
    )


@widening
def weighted_sum(dims: int, channels: int, number: int) -> nn.Module:
    """Branches stacked and summed with one weight each."""
    return Block(
        lambda b, x: (torch.stack([x, b.layer(x)]) * b.weights.view(2, *[1] * (dims + 2))).sum(0),
        layer=conv(dims, channels, channels),
        weights=nn.Parameter(torch.tensor([0.7, 0.4])),
    )


# Gates


@widening
def squeeze_excite(dims: int, channels: int, number: int) -> nn.Module:
    hidden = size(number)
    return Block(
        lambda b, x: x * torch.sigmoid(b.excite(F.relu(b.squeeze(x.mean(positions(x), keepdim=True))))),
        squeeze=conv(dims, channels, hidden, 1),
        excite=conv(dims, hidden, channels, 1),
    )


@widening
def linear_gate(dims: int, channels: int, number: int) -> nn.Module:
    """Squeeze-excite with linear layers and views."""
    hidden = size(number)

    def compute(b: Block, x: Tensor) -> Tensor:
        gate = F.hardsigmoid(b.excite(F.relu(b.squeeze(x.mean(positions(x))))))
        return x * gate.view(x.shape[0], -1, *[1] * dims).expand_as(x)

    return Block(compute, squeeze=nn.Linear(channels, hidden), excite=nn.Linear(hidden, channels))


@widening
def gated_half(dims: int, channels: int, number: int) -> nn.Module:
    """One half of the channels gates the other."""

    def compute(b: Block, x: Tensor) -> Tensor:
        value, gate = b.layer(x).chunk(2, 1)
        return value * torch.sigmoid(gate)

    return Block(compute, layer=conv(dims, channels, even(number)))


@widening
def glu(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: F.glu(b.layer(x), 1), layer=conv(dims, channels, even(number)))


@widening
def positions_gate(dims: int, channels: int, number: int) -> nn.Module:
    """A gate over positions from one computed channel."""
    return Block(lambda b, x: x * torch.sigmoid(b.layer(x)), layer=conv(dims, channels, 1))


@widening
def pooled_gate(dims: int, channels: int, number: int) -> nn.Module:
    """A gate over positions from the mean and maximum over channels."""
    return Block(
        lambda b, x: (
            x * torch.sigmoid(b.layer(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))
        ),
        layer=conv(dims, 2, 1),
    )


# Branches side by side


@widening
def concat(dims: int, channels: int, number: int) -> nn.Module:
    return Block(
        lambda b, x: torch.cat([b.left(x), x, b.right(x)], 1),
        left=conv(dims, channels, size(number)),
        right=unit(dims, channels, size(number + 1), 1),
    )


@widening
def dense(dims: int, channels: int, number: int) -> nn.Module:
    """Two layers that each read all before them."""
    grow = size(number)

    def compute(b: Block, x: Tensor) -> Tensor:
        more = b.one(x)
        return torch.cat([x, more, b.two(b.norm(torch.cat([x, more], 1)))], 1)

    parts = conv(dims, channels, grow), norm(dims, channels + grow), conv(dims, channels + grow, grow)
    return Block(compute, one=parts[0], norm=parts[1], two=parts[2])


@widening
def upsample(dims: int, channels: int, number: int) -> nn.Module:
    """Down, up by interpolation, joined with what was before."""
    return Block(
        lambda b, x: torch.cat([F.interpolate(b.down(x), size=x.shape[2:], mode="nearest"), x], 1),
        down=unit(dims, channels, size(number), stride=2),
    )


@widening
def half_block(dims: int, channels: int, number: int) -> nn.Module:
    """Half of the channels pass by a branch, the halves are joined again (CSP)."""

    def compute(b: Block, x: Tensor) -> Tensor:
        keep, change = b.enter(x).chunk(2, 1)
        return torch.cat([keep, b.branch(change)], 1)

    inner = even(number)
    return Block(compute, enter=unit(dims, channels, inner), branch=unit(dims, inner // 2, inner // 2))


@widening
def sliced(dims: int, channels: int, number: int) -> nn.Module:
    """The first channels by slicing (GhostNet) after a concatenation."""
    inner = size(number)
    block = Block(
        lambda b, x: torch.cat([(y := b.enter(x)), b.cheap(y)], 1)[:, : b.out_channels] * 0.5,
        enter=unit(dims, channels, inner),
        cheap=conv(dims, inner, inner, groups=inner),
    )
    block.out_channels = 2 * inner
    return block


@widening
def shuffle(dims: int, channels: int, number: int) -> nn.Module:
    """Two branches, their channels interleaved (ShuffleNet)."""
    inner = even(number)

    def compute(b: Block, x: Tensor) -> Tensor:
        x = torch.cat([b.left(x), b.right(x)], 1)
        return x.view(x.shape[0], 2, -1, *x.shape[2:]).transpose(1, 2).flatten(1, 2)

    return Block(compute, left=unit(dims, channels, inner // 2), right=unit(dims, channels, inner // 2, 1))


@widening
def half_shuffle(dims: int, channels: int, number: int) -> nn.Module:
    """ShuffleNetV2's unit: chunk, a branch on one half, cat, interleave; twice, so that halves mix."""

    def once(x: Tensor, branch: nn.Module) -> Tensor:
        keep, change = x.chunk(2, 1)
        x = torch.cat([keep, branch(change)], 1)
        x = x.reshape(x.shape[0], 2, x.shape[1] // 2, *x.shape[2:]).transpose(1, 2)
        return x.reshape(x.shape[0], -1, *x.shape[3:])

    half = even(number)
    return Block(
        lambda b, x: once(once(b.enter(x), b.one), b.two),
        enter=unit(dims, channels, 2 * half),
        one=unit(dims, half, half),
        two=unit(dims, half, half),
    )


@widening
def pool_branches(dims: int, channels: int, number: int) -> nn.Module:
    """Poolings of several sizes side by side (SPP)."""
    pool = (F.max_pool1d, F.max_pool2d)[dims - 1]
    return Block(
        lambda b, x: torch.cat([(y := b.layer(x)), pool(y, 3, 1, 1), pool(y, 5, 1, 2)], 1),
        layer=conv(dims, channels, size(number), 1),
    )


# Computed so that some channels cannot widen


@rigid
def split_uneven(dims: int, channels: int, number: int) -> nn.Module:
    """Parts of sizes that are written down."""
    inner = size(number)

    def compute(b: Block, x: Tensor) -> Tensor:
        first, second = b.enter(x).split([1, inner - 1], 1)
        return torch.cat([b.layer(second), first], 1)

    return Block(compute, enter=conv(dims, channels, inner), layer=conv(dims, inner - 1, 3))


@rigid
def softmax(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: x * torch.softmax(b.layer(x), 1), layer=conv(dims, channels, channels))


@rigid
def heads(dims: int, channels: int, number: int) -> nn.Module:
    """Attention over positions with a fixed number of heads."""
    inner = even(number)

    def compute(b: Block, x: Tensor) -> Tensor:
        q, k, v = (layer(x).flatten(2).unflatten(1, (2, inner // 2)) for layer in (b.q, b.k, b.v))
        mixed = v @ torch.softmax(q.transpose(2, 3) @ k, -1).transpose(2, 3)
        return x + b.out(mixed.flatten(1, 2).view(x.shape[0], inner, *x.shape[2:]))

    q, k, v = (conv(dims, channels, inner, 1) for _ in range(3))
    return Block(compute, q=q, k=k, v=v, out=conv(dims, inner, channels, 1))


@rigid
def standardised(dims: int, channels: int, number: int) -> nn.Module:
    """A convolution whose weight is normalised at every call."""
    convolve = (F.conv1d, F.conv2d)[dims - 1]
    layer = conv(dims, channels, size(number))
    return Block(
        lambda b, x: convolve(x, b.layer.weight / (b.layer.weight.norm() + 1), b.layer.bias, padding=1),
        layer=layer,
    )


@rigid
def tied_weight(dims: int, channels: int, number: int) -> nn.Module:
    """The same weight forth and, transposed, back."""
    convolve = (F.conv1d, F.conv2d)[dims - 1]
    return Block(
        lambda b, x: convolve(F.relu(b.layer(x)), b.layer.weight.transpose(0, 1), padding=1),
        layer=conv(dims, channels, size(number)),
    )


@rigid
def running_sum(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: b.layer(x).cumsum(1), layer=conv(dims, channels, size(number)))


@rigid
def best_channels(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: b.layer(x).topk(2, 1).values, layer=conv(dims, channels, size(number)))


@rigid
def rolled(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: b.layer(x).roll(1, 1), layer=conv(dims, channels, size(number)))


@rigid
def every_other(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: b.layer(x)[:, ::2], layer=conv(dims, channels, size(number)))


@rigid
def unit_length(dims: int, channels: int, number: int) -> nn.Module:
    return Block(lambda b, x: F.normalize(b.layer(x), dim=1), layer=conv(dims, channels, size(number)))


@rigid
def constant_per_channel(dims: int, channels: int, number: int) -> nn.Module:
    inner = size(number)
    return Block(
        lambda b, x: b.layer(x) * b.constant,
        layer=conv(dims, channels, inner),
        constant=per_channel(dims, inner),
    )


@rigid
def channel_pad(dims: int, channels: int, number: int) -> nn.Module:
    """Zero channels appended to the shortcut (ResNet's option A)."""
    more = size(number)
    return Block(
        lambda b, x: b.layer(x) + F.pad(x, [*[0, 0] * dims, 0, more]),
        layer=conv(dims, channels, channels + more),
    )


@rigid
def position_embedding(dims: int, channels: int, number: int) -> nn.Module:
    """Channels and positions of a parameter flattened together, then viewed."""
    side = math.prod([3] * dims)
    kernel = nn.Parameter(torch.linspace(-1, 1, channels * side).view(1, channels * side))
    convolve = (F.conv1d, F.conv2d)[dims - 1]
    return Block(
        lambda b, x: x + convolve(x, b.kernel.view(channels, 1, *[3] * dims), padding=1, groups=channels),
        kernel=kernel,
    )


@rigid
def windows(dims: int, channels: int, number: int) -> nn.Module:
    """Positions become channels, and back."""

    def compute(b: Block, x: Tensor) -> Tensor:
        if dims == 2:
            return F.pixel_shuffle(b.layer(F.pixel_unshuffle(F.adaptive_avg_pool2d(x, 4), 2)), 2)
        x = F.adaptive_avg_pool1d(x, 4).unflatten(2, (2, 2)).transpose(2, 3).flatten(1, 2)
        return b.layer(x).unflatten(1, (-1, 2)).transpose(2, 3).flatten(2)

    return Block(compute, layer=conv(dims, 2**dims * channels, 2**dims * size(number)))
