"""Two machines on this one: network namespaces with a cable between them; where those may not be made, loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Host(NamedTuple):
    """Where a process can be started.

    Args:
        prefix: Words before a command, which put it there.
        interface: Name of its network interface.
        address: Its own address.
    """

    prefix: tuple[str, ...]
    interface: str
    address: str


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts that see each other over a veth pair only; on loopback without the right to make them."""
    names = tuple(f"netaug{os.getpid()}{end}" for end in "ab")
    try:
        hosts = _connected(names)
    except (OSError, subprocess.CalledProcessError):
        _remove(names)
        loopback = Host((), "lo", "127.0.0.1")
        yield loopback, loopback
        return
    try:
        yield hosts
    finally:
        _remove(names)


def _connected(names: tuple[str, ...]) -> tuple[Host, Host]:
    interfaces = [f"v{name[-10:]}" for name in names]  # 15 characters at most
    for name in names:
        _ip("netns", "add", name)
    _ip(
        *("link", "add", interfaces[0], "netns", names[0], "type", "veth"),
        *("peer", "name", interfaces[1], "netns", names[1]),
    )
    hosts = []
    for number, (name, interface) in enumerate(zip(names, interfaces, strict=True), start=1):
        address = f"10.77.0.{number}"
        _ip("-n", name, "address", "add", f"{address}/24", "dev", interface)
        for one in ("lo", interface):
            _ip("-n", name, "link", "set", one, "up")
        hosts.append(Host(("ip", "netns", "exec", name), interface, address))
    return hosts[0], hosts[1]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _remove(names: tuple[str, ...]) -> None:
    if shutil.which("ip") is None:
        return
    for name in names:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
