"""Whether a run has the augmented passes that its settings ask for: else it would be the baseline by another name."""

from __future__ import annotations

from netaug.core.errors import ConfigError
from netaug.elastic import Supernet
from netaug.elastic.plain_network import BaseOnly, Network
from netaug.elastic.sampling import is_augmented


def refuse_if_never_drawn(supernet: Supernet) -> None:
    """Refuse a schedule in which no group of the network ever widens.

    Raises:
        ConfigError: It is so.
    """
    config = supernet.config
    for group in supernet.groups.values():
        widens = group.most > group.base and max(group.ratios) > 1
        if widens and is_augmented(group.role, config, config.start):
            return
    raise ConfigError(
        "NetAug is on, but no step would train a wider network.",
        got=f"netaug.start {config.start:g}, netaug.width_until {config.width_until:g}, "
        f"netaug.expand_until {config.expand_until:g}",
        allowed="an end above the start for a kind of group that the network has and whose multipliers go above 1",
        fix="raise one of the two ends; --netaug.enabled false trains the baseline",
    )


def check_steps(network: Network, total_steps: int) -> None:
    """Refuse a run whose every k-th steps all lie where nothing is augmented.

    Args:
        network: A plain one is as it should be.
        total_steps: Of the run.

    Raises:
        ConfigError: No step has an augmented pass.
    """
    if isinstance(network, BaseOnly):
        return
    config = network.config
    candidates = range(0, total_steps, config.augment_every)
    if any(network.widens(step, step / total_steps) for step in candidates):
        return
    raise ConfigError(
        f"NetAug is on, but none of the {total_steps} steps of this run has an augmented pass.",
        got=f"netaug.augment_every {config.augment_every}, netaug.start {config.start:g}",
        allowed="a multiple of augment_every among the steps from the start on",
        fix="lower netaug.augment_every or netaug.start; --netaug.enabled false trains the baseline",
    )
