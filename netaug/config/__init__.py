"""The settings of one run: frozen dataclasses, checked in one place, printed and saved with the run.

A recipe is a YAML file with these keys; the command line overrides them as ``--group.key value``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from netaug.config.data import MOST_PIXELS, DataConfig
from netaug.config.detect import DetectConfig
from netaug.config.distill import DistillConfig
from netaug.config.regularize import RegularizeConfig
from netaug.config.starts import StartsConfig
from netaug.config.train import TrainConfig
from netaug.core.errors import ConfigError
from netaug.elastic.settings import AugmentConfig, StepSettings
from netaug.reparameterize.settings import BranchSettings, DepthSettings

__all__ = [
    "MOST_PIXELS",
    "BranchSettings",
    "DataConfig",
    "DepthSettings",
    "DetectConfig",
    "DistillConfig",
    "ModelConfig",
    "NetAugConfig",
    "RegularizeConfig",
    "RunConfig",
    "StartsConfig",
    "TrainConfig",
]


MOST_WIDER = 16
"""Greatest `model.widen`: more is most likely a mistake, and would take all memory."""


@dataclass(frozen=True)
class ModelConfig:
    """Which network is trained.

    Args:
        name: A name of `netaug models`, `timm:NAME`, or a factory `package.module:function`.
        num_classes: Number of logits; null counts the classes of the data.
        in_chans: Image channels; null takes those of the data (1 gray, 3 color).
        options: Further keyword arguments of the model's factory.
        dropout: Probability in [0, 1) of dropping a feature before the classifier while training, whatever the
            factory calls it; null keeps the factory's own, or that of `options`.
        init: `model` keeps the factory's own initialization. `uniform` is kaiming_uniform(a=sqrt 5) by each layer's own
            fan-in; `he` is he-normal by fan-out, and normal(0, 0.01) for linear layers. The other two are those of the
            paper's code: `fan_out`, of its baseline, is he-normal by fan-out, for linear layers too; `widest`, of
            NetAug, is kaiming_uniform(a=sqrt 5) on the tensors of the widest network that the `netaug` settings make
            (with netaug.enabled false too, so that both arms start from the same base weights), sorted before the
            first step if netaug.sort. Both draw a linear classifier from a truncated normal(0, 0.02).
        widen: Factor of at least 1 on the channels of all width groups that can widen, as NetAug widens them; above 1
            it makes a larger network of the same kind, such as a teacher. 1 is the network as it is.
        weights: What to start from, relative to the working directory: a run folder, or a file of weights,
            safetensors or a PyTorch checkpoint. It must fit the network exactly; a detector's backbone also starts
            from a classifier. null starts from `init`.
        widest_weights: Whether NetAug continues with all of a training checkpoint of its released code in `weights`:
            with the widest network, and not the tiny one in it alone. The multipliers must be those of that training.
        new_head: Whether the classifier is not taken from `weights` but starts from `init`, for other classes.
    """

    name: str = "mobilenetv2-tiny"
    num_classes: int | None = None
    in_chans: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    dropout: float | None = None
    init: Literal["model", "uniform", "he", "fan_out", "widest"] = "model"
    widen: float = 1.0
    weights: str | None = None
    widest_weights: bool = False
    new_head: bool = False

    def __post_init__(self) -> None:
        for name in ("num_classes", "in_chans"):
            if name in self.options:
                raise ConfigError(
                    f"model.options has {name}, which every factory is given by itself.",
                    got=f"{name}={self.options[name]!r}",
                    fix=f"leave it out: it follows the data; model.{name} checks it",
                )
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(
                "model.dropout is out of range.", got=self.dropout, allowed="null, or a number in [0, 1)"
            )
        if not 1 <= self.widen <= MOST_WIDER:
            raise ConfigError(
                "model.widen is out of range.", got=self.widen, allowed=f"a number from 1 to {MOST_WIDER}"
            )
        if self.widen > 1 and (self.weights is not None or self.options.get("pretrained")):
            raise ConfigError(
                "a widened network has no weights to start from: those of a file are of the network as it is.",
                got=f"model.widen {self.widen:g}, model.weights {self.weights}",
                fix="leave model.widen or the weights out",
            )
        if self.new_head and self.weights is None:
            raise ConfigError(
                "model.new_head has no effect without weights to start from.",
                got="model.new_head true, model.weights null",
                fix="add --model.weights FILE, or leave model.new_head out",
            )
        if self.widest_weights and (self.weights is None or self.new_head):
            raise ConfigError(
                "model.widest_weights needs model.weights, and takes all of it, the classifier too.",
                got=f"model.weights {self.weights}, model.new_head {str(self.new_head).lower()}",
                fix="add --model.weights FILE, and leave model.new_head out",
            )
        if self.options.get("pretrained") and (self.init != "model" or self.weights is not None):
            other = "model.weights" if self.weights is not None else f"model.init {self.init}"
            raise ConfigError(
                "the network's pretrained weights would be replaced before training starts.",
                got=f"pretrained in model.options, and {other}",
                fix="--model.init model keeps them" if self.weights is None else "leave one of them out",
            )


@dataclass(frozen=True)
class NetAugConfig(StepSettings):
    """Network Augmentation during training; see `netaug.AugmentConfig` for the paper's terms.

    Args:
        enabled: false trains the plain network: the baseline.
        preset: Named settings, which those named beside it win over. `paper` is the paper's step. `fast` costs less
            than half of it: nothing is augmented in the first half, then in-place distillation is
            added (distill.in_place 1). No form was shown to beat a baseline trained for the same MACs
            (docs/results/pareto-cifar10). `best` has the highest mean of what was compared at equal
            MACs, for networks of a few hundred parameters, and no NetAug: eight draws of the first weights compete
            (starts.count 8). It is not shown to beat a longer training either (docs/evidence.md).
        sort: Whether hidden channels are sorted by importance at epoch starts while start < progress < width_until;
            `sort_gates` says of which layers.
    """

    groups: dict[str, tuple[float, ...]] = field(default_factory=dict)
    enabled: bool = True
    preset: Literal["paper", "fast", "best"] = "paper"
    sort: bool = True

    def augment_config(self, seed: int) -> AugmentConfig:
        """Return the same settings for :func:`netaug.augment`."""
        shared = {item.name: getattr(self, item.name) for item in fields(StepSettings)}
        shared |= {"width": tuple(self.width), "expand": tuple(self.expand), "keep": tuple(self.keep)}
        return AugmentConfig(**shared, seed=seed)


@dataclass(frozen=True)
class RunConfig:
    """Holds everything that determines a run's result, except machine and versions."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    netaug: NetAugConfig = field(default_factory=NetAugConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    regularize: RegularizeConfig = field(default_factory=RegularizeConfig)
    detect: DetectConfig = field(default_factory=DetectConfig)
    reparameterize: BranchSettings = field(default_factory=BranchSettings)
    deepen: DepthSettings = field(default_factory=DepthSettings)
    starts: StartsConfig = field(default_factory=StartsConfig)

    def __post_init__(self) -> None:
        self._check_distillation()
        if self.model.widest_weights and not self.netaug.enabled:
            raise ConfigError(
                "model.widest_weights has no effect without NetAug: only its base network is trained.",
                got="netaug.enabled false",
                fix="leave model.widest_weights out",
            )
        self._check_microbatches()
        self._check_recalibration()
        self._check_starts()

    @property
    def microbatches(self) -> int:
        """Return in how many parts a batch is cut, over all processes; more processes cut it further."""
        most = self.data.norm_batch
        return self.train.accumulate if most is None else -(-self.data.batch_size // most)

    def _check_microbatches(self) -> None:
        if self.data.norm_batch is not None:
            for name, value, usual in (
                ("accumulate", self.train.accumulate, 1),
                ("sync_batchnorm", self.train.sync_batchnorm, False),
            ):
                if value != usual:
                    raise ConfigError(
                        f"data.norm_batch and train.{name} both say how many images a batch norm sees at once.",
                        got=f"data.norm_batch {self.data.norm_batch}, train.{name} {str(value).lower()}",
                        fix=f"leave train.{name} out, or --data.norm_batch null",
                    )
        if self.microbatches > 1 and 2 * self.microbatches > self.data.batch_size:
            name = "train.accumulate" if self.data.norm_batch is None else "data.norm_batch"
            raise ConfigError(
                f"{name} leaves microbatches of less than two images.",
                got=f"{self.microbatches} microbatches of {self.data.batch_size} images (data.batch_size)",
                allowed=f"1 to {max(1, self.data.batch_size // 2)}",
            )

    def _check_recalibration(self) -> None:
        for name, value, plain in (
            ("reparameterize.branches", self.reparameterize.branches, self.reparameterize.branches <= 1),
            ("deepen.ratio", self.deepen.ratio, self.deepen.ratio == 0),
        ):
            if self.train.recalibrate and not plain:
                raise ConfigError(
                    f"train.recalibrate cannot estimate the statistics of the layers that {name} adds.",
                    got=f"train.recalibrate {self.train.recalibrate}, {name} {value:g}",
                    fix="leave one of them out",
                )

        if self.train.patience is not None and self.deepen.ratio > 0:
            raise ConfigError(
                "train.patience cannot end this training early: its deeper layers fade over all of train.epochs.",
                got=f"train.patience {self.train.patience}, deepen.ratio {self.deepen.ratio:g}",
                fix="leave one of them out",
            )

    def _check_distillation(self) -> None:
        self._check_base_learns()
        if self.distill.has_teacher and self.distill.on == "augmented" and not self.netaug.enabled:
            raise ConfigError(
                "distill.on augmented has no effect without NetAug: there is no augmented pass.",
                got="netaug.enabled false",
                fix="--distill.on base",
            )
        if self.distill.cache is not None and self.regularize.mixes:
            raise ConfigError(
                "distill.cache holds teacher outputs for single images, not for mixed ones.",
                got=f"distill.cache, and {' and '.join(self.regularize.on)}",
                fix="leave distill.cache out: the teacher then runs; or leave mixup and cutmix out",
            )
        if self.model.dropout and self.regularize.dropout and not self.regularize.places:
            raise ConfigError(
                "model.dropout and regularize.dropout both drop what goes into the classifier.",
                got=f"{self.model.dropout:g} and {self.regularize.dropout:g}",
                fix="set one of them; or say with regularize.places where the other drops",
            )

    def _check_base_learns(self) -> None:
        """Refuse settings that distill into a base pass that does not learn."""
        netaug = self.netaug
        if netaug.base_pass or not netaug.enabled:
            return
        always = (
            netaug.augment_every == 1
            and netaug.start == 0
            and max(netaug.width_until, netaug.expand_until) == 1
        )
        for name, useless in (
            ("distill.in_place", self.distill.in_place > 0),
            ("distill.on base", always and self.distill.has_teacher and self.distill.on == "base"),
        ):
            if useless:
                raise ConfigError(
                    f"{name} supervises the base pass, which netaug.base_pass false leaves out.",
                    got=f"{name}{f' {self.distill.in_place:g}' * (name == 'distill.in_place')}, netaug.base_pass false",
                    fix="leave one of them out",
                )

    def _check_starts(self) -> None:
        if self.starts.count > 1 and self.model.weights is not None:
            raise ConfigError(
                "starts.count has draws of the first weights compete, but model.weights gives them.",
                got=f"starts.count {self.starts.count}, model.weights {self.model.weights}",
                fix="leave one of them out",
            )
