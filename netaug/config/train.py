"""How the network is optimized, guarded and saved."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from netaug.core.errors import ConfigError

MOST_THREADS = 1024
ENOUGH_STEPS = 500
"""Updates from which a training shows whether its network under-fits or over-fits. In a shorter one it has hardly
moved, and the running statistics of its norms lag behind its weights."""


@dataclass(frozen=True)
class TrainConfig:
    """How the network is optimized: by default SGD with Nesterov momentum, warmup, per-step cosine to zero.

    Args:
        epochs: Passes over the training images, warmup included.
        optimizer: `sgd` (Nesterov), `adamw`, `lamb`, `rmsproptf`, or another name of timm's optimizers.
        optimizer_options: Further arguments of the optimizer, such as {betas: [0.9, 0.99], eps: 1.0e-6}.
        lr: Peak learning rate for `data.batch_size` images per step (used as given, not scaled).
        warmup_epochs: Epochs in which the rate rises linearly, step by step, to `lr`.
        schedule: How the rate goes down after warmup, step by step: `cosine`, `linear` or `poly` down to `min_lr`,
            `step` by a factor every so many epochs, or `constant`.
        min_lr: Rate that the schedule ends at or does not go below.
        decay_epochs: Epochs after warmup between two drops of `step`; null drops twice, at each third of the run.
        decay_rate: Factor of each drop of `step`; null is 0.1.
        poly_power: Exponent of `poly` on the fraction of steps that is left; null is 1, which is `linear`.
        momentum: Of optimizers that have one; Nesterov's for `sgd`. Others take `betas` from their options.
        weight_decay: Factor on weights, applied as the optimizer does; biases and norms get none.
        freeze: What is not trained: glob patterns of modules or parameters such as `stages.0.*`, or `backbone` for
            all but the classifier, of a detector all but neck and heads. Norms in there keep their statistics, and
            NetAug does not widen it.
        layer_decay: Factor in (0, 1] from each layer's learning rate to that of the layer before, so that early layers
            change less; null is one rate for all.
        clip_norm: Most L2 norm of all gradients of a step together, those of both passes added; null does not clip.
        accumulate: Parts a batch of `data.batch_size` is cut into, one after the other, for less memory: one update
            with the mean gradient of all parts. Batch norm sees one part at a time.
        amp: Number format of the forward passes in training: `off` is float32; `bf16`; `fp16` with a scaled loss,
            whose steps are left out where gradients overflow. On most CPUs both are slower than float32. Weights stay
            float32, and evaluation computes in float32.
        compile: Whether the base pass in training is compiled by torch; needs a C++ compiler, and a minute or more at
            the start. Wide passes and evaluations are not.
        deterministic: Whether operations that may give other bits each time are refused; torch then names them. CPU
            runs, and most on CUDA, repeat to the bit without it.
        ema_decay: Fraction in [0, 1) that a moving average of the weights keeps at each step, less in the first ones;
            the average is then what is evaluated and saved. null keeps none.
        skip_nonfinite: Steps of the whole run that may be left out because a loss is not a finite number; one more, or
            the first with 0, stops the run and names the images. Waits for the device at each step.
        label_smoothing: Probability mass spread over all classes, in [0, 1).
        seed: Keys initialization, data order, image augmentation and drawn widths.
        device: `auto` takes CUDA where it is present, else the CPU; or a torch device such as `cuda:1`.
        threads: CPU threads of torch. null takes one for a network so small that more would slow it down; else
            OMP_NUM_THREADS, or one or all that there are, whichever a trial of a second finds faster. The last bits of
            results depend on it; a run resumes with the number that it began with.
        channels_last: Whether tensors use the channels_last memory format.
        eval_every: Epochs between evaluations on the validation split; the last epoch always is.
        recalibrate: Training images on which statistics of batch norms are estimated again before each evaluation, in a
            copy that is evaluated and saved: early in a training running ones lag behind the weights. The training
            itself stays the same to the bit. The paper's code takes 16,000; 0 keeps running statistics.
        checkpoint_every: Epochs between checkpoints; the last epoch always is.
        checkpoint_minutes: Minutes after which a checkpoint is written also within an epoch; null never does.
        keep_checkpoints: How many checkpoints are kept; older ones are removed.
        keep_best: Whether `best.safetensors` holds the network of the epoch with the best validation score, beside the
            last one. It is chosen on the images that it is measured on, so that its score there is too high.
        patience: Epochs without a better validation score after which the training ends before `epochs`; null never
            ends it. The learning rate is then higher than at the end of its schedule.
        measure_gradients: Steps between two measurements of the augmented pass's fraction of the gradient on the base
            network's weights; 0 never measures. It changes nothing that is learned.
        tensorboard: Whether curves are also written for TensorBoard, into the run folder; needs netaug[tensorboard].
        sync_batchnorm: Whether batch norm in training uses the statistics of all processes' images instead of those of
            each process's own; on CUDA only.
        timeout_minutes: How long a process waits for the others, at the start and in a step, before it gives up.
        wandb: Project of Weights & Biases that gets the curves too; needs netaug[wandb]. null sends nothing.
    """

    epochs: int = 10
    optimizer: str = "sgd"
    optimizer_options: dict[str, Any] = field(default_factory=dict)
    lr: float = 0.1
    warmup_epochs: float = 1.0
    schedule: Literal["cosine", "step", "poly", "linear", "constant"] = "cosine"
    min_lr: float = 0.0
    decay_epochs: float | None = None
    decay_rate: float | None = None
    poly_power: float | None = None
    momentum: float = 0.9
    weight_decay: float = 4e-5
    freeze: tuple[str, ...] = ()
    layer_decay: float | None = None
    clip_norm: float | None = None
    accumulate: int = 1
    amp: Literal["off", "bf16", "fp16"] = "off"
    compile: bool = False
    deterministic: bool = False
    ema_decay: float | None = None
    skip_nonfinite: int = 0
    label_smoothing: float = 0.1
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    channels_last: bool = True
    eval_every: int = 1
    recalibrate: int = 0
    checkpoint_every: int = 1
    checkpoint_minutes: float | None = 10.0
    keep_checkpoints: int = 2
    keep_best: bool = True
    patience: int | None = None
    measure_gradients: int = 20
    tensorboard: bool = False
    wandb: str | None = None
    sync_batchnorm: bool = False
    timeout_minutes: float = 10.0

    def __post_init__(self) -> None:
        for name in ("epochs", "accumulate", "eval_every", "checkpoint_every", "keep_checkpoints"):
            self._require(name, getattr(self, name) >= 1, "a whole number, at least 1")
        self._require("skip_nonfinite", self.skip_nonfinite >= 0, "a whole number, at least 0")
        threads = self.threads  # torch ends the process where the system gives it no more
        self._require(
            "threads", threads is None or 1 <= threads <= MOST_THREADS, f"null, or 1 to {MOST_THREADS}"
        )
        self._require("recalibrate", self.recalibrate >= 0, "a whole number, at least 0")
        self._require("measure_gradients", self.measure_gradients >= 0, "a whole number, at least 0")
        patience = self.patience
        self._require("patience", patience is None or patience >= 1, "null, or a whole number, at least 1")
        minutes = self.checkpoint_minutes
        self._require("checkpoint_minutes", minutes is None or minutes >= 0, "null, or a number, at least 0")
        self._require("timeout_minutes", 0 < self.timeout_minutes < math.inf, "a number above 0")
        self._require("wandb", self.wandb != "", "null, or the name of a project")
        self._require("lr", 0 < self.lr < math.inf, "a number above 0")
        self._require("weight_decay", 0 <= self.weight_decay < math.inf, "a number, at least 0")
        decay = self.layer_decay
        self._require("layer_decay", decay is None or 0 < decay <= 1, "null, or a number in (0, 1]")
        clip = self.clip_norm
        self._require("clip_norm", clip is None or 0 < clip < math.inf, "null, or a number above 0")
        decay = self.ema_decay
        self._require("ema_decay", decay is None or 0 <= decay < 1, "null, or a number in [0, 1)")
        for name in ("momentum", "label_smoothing"):
            self._require(name, 0 <= getattr(self, name) < 1, "a number in [0, 1)")
        self._require(
            "warmup_epochs",
            0 <= self.warmup_epochs <= self.epochs,
            f"a number in [0, train.epochs] = [0, {self.epochs}]",
            fix=f"--train.warmup_epochs {self.epochs / 10:g}",
        )
        self._check_schedule()

    def _check_schedule(self) -> None:
        self._require("min_lr", 0 <= self.min_lr <= self.lr, f"a number in [0, train.lr] = [0, {self.lr:g}]")
        for name, kind in (("decay_epochs", "step"), ("decay_rate", "step"), ("poly_power", "poly")):
            value = getattr(self, name)
            self._require(name, value is None or 0 < value < math.inf, "null, or a number above 0")
            if value is not None and self.schedule != kind:
                raise ConfigError(
                    f"train.{name} has no effect with train.schedule {self.schedule}.",
                    got=f"train.{name} {value:g}",
                    fix=f"--train.schedule {kind}, or leave train.{name} out",
                )
        self._require("decay_rate", self.decay_rate is None or self.decay_rate < 1, "a number in (0, 1)")
        if self.schedule == "constant" and self.min_lr > 0:
            raise ConfigError(
                "train.min_lr has no effect with train.schedule constant.", fix="leave train.min_lr out"
            )

    def _require(self, name: str, holds: bool, allowed: str, fix: str | None = None) -> None:
        if not holds:
            raise ConfigError(
                f"train.{name} is out of range.", got=getattr(self, name), allowed=allowed, fix=fix
            )
