"""Python environments of their own for other people's converters, whose pinned packages quarrel with each other.

One is made on request only, with exact versions, in the user's cache folder. torch, the largest part, is linked from
the environment that netaug runs in if it has the pinned version there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from netaug.core.errors import ResourceError
from netaug.core.whole_folder import new_folder

TORCH = "2.14.1"
_ABSENT = "python_version < '0'"
"""A marker that never holds: uv does not fetch a package that it is given for."""
_LINKED = "linked"
_log = logging.getLogger("netaug")


@dataclass(frozen=True)
class Environment:
    """Describes an environment.

    Args:
        name: Names its folder.
        pins: Requirements with exact versions, without torch.
        size: What is fetched and what it takes on the disk, for people; without torch.
    """

    name: str
    pins: tuple[str, ...]
    size: str

    @property
    def folder(self) -> Path:
        """Return where it is, or will be: another folder for other versions of anything."""
        version = ".".join(map(str, sys.version_info[:3]))
        parts = [*self.pins, TORCH, version, sys.prefix if _has_torch() else ""]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "netaug" / "environments" / f"{self.name}-{digest}"

    @property
    def python(self) -> Path:
        """Return its interpreter."""
        return self.folder / "bin" / "python"

    def describe(self) -> str:
        """Return what it fetches and how large that is, as one sentence."""
        torch = (
            f"torch {TORCH} is linked from here"
            if _has_torch()
            else f"and torch=={TORCH}, which is 1 GB and with CUDA 3 GB more"
        )
        return f"{', '.join(self.pins)} and what they need ({self.size}); {torch}; into '{self.folder}'"


LITERT = Environment(
    "litert",
    (
        "litert-torch==0.10.0",
        "litert-converter==0.5.0",
        "litert-quantizer==0.11.0",
        "ai-edge-litert==2.3.0",
    ),
    "2.2 GB on the disk",
)
EXECUTORCH = Environment("executorch", ("executorch==1.5.1", "torchao==0.18.0"), "0.7 GB on the disk")


def ensure(environment: Environment, *, fetch: bool, needed_by: str) -> Path:
    """Return the interpreter of an environment; make it first if that is wanted.

    Args:
        environment: Which one.
        fetch: Whether its packages may be fetched.
        needed_by: What needs it, such as ``--to pte``, for the message.

    Raises:
        ResourceError: It is not there and is not to be made, or making it fails.
    """
    if environment.python.exists():
        return environment.python
    if not fetch:
        raise ResourceError(
            f"{needed_by} needs an environment of its own, which is not there yet.",
            got=f"it would fetch {environment.describe()}",
            fix="add --fetch to make it, once for all exports",
        )
    _log.warning("%s fetches %s; this takes minutes.", needed_by, environment.describe())
    folder = environment.folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(folder, "making") as place:
            install(environment.pins, place.filling)
            place.publish()
    except BlockingIOError:
        raise ResourceError(
            f"another process is making '{folder}'.", fix="run this again when it is done"
        ) from None
    except OSError as error:
        raise ResourceError(f"'{folder}' cannot be made.", got=error) from error
    return environment.python


def install(pins: Sequence[str], folder: Path) -> None:
    """Make an environment in an empty folder, with uv if it is there, else with venv and pip.

    Raises:
        ResourceError: A command fails.
    """
    linked, python = _has_torch(), folder / "bin" / "python"
    wanted = list(pins) if linked else [*pins, f"torch=={TORCH}"]
    uv = shutil.which("uv")
    if uv is not None:
        _run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)])
        overrides = folder / "overrides.txt"
        overrides.write_text(f"torch ; {_ABSENT}\n" if linked else "", encoding="utf-8")
        options = ["--quiet", "--python", str(python), "--override", str(overrides)]
        _run([uv, "pip", "install", *options, *wanted])
        if linked:
            _link_torch(folder)
        return
    _run([sys.executable, "-m", "venv", str(folder)])
    if linked:
        _link_torch(folder)  # before: pip then takes it for installed
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted])


def run_job(python: Path, job: str, words: Sequence[str]) -> None:
    """Run a file of :mod:`netaug.export.jobs` in an environment.

    Args:
        python: Its interpreter.
        job: Name of the file without ``.py``.
        words: Its arguments.

    Raises:
        ResourceError: It fails; the message has its last line.
    """
    file = Path(__file__).parent / "jobs" / f"{job}.py"
    fix = f"try another format, such as --to onnx; if its packages are damaged, remove '{python.parents[1]}'"
    _run([str(python), str(file), *words], fix)


def _run(command: Sequence[str], fix: str = "see that the package index can be reached") -> None:
    # packages of the caller's path must not shadow the pinned ones
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=surroundings
    )
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise ResourceError(
            f"`{' '.join(Path(word).name for word in command[:4])} ...` fails.",
            got=lines[-1] if lines else f"exit status {done.returncode}",
            fix=fix,
        )


def _has_torch() -> bool:
    try:
        return distribution("torch").version.split("+")[0] == TORCH
    except PackageNotFoundError:
        return False


def _link_torch(folder: Path) -> None:
    """Link torch and what it needs from this environment into another, where packages of its own come first."""
    linked = folder / _LINKED
    linked.mkdir()
    for package in _closure("torch"):
        tops = {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}
        for top in sorted(tops):
            source, target = Path(str(package.locate_file(top))), linked / top
            if source.exists() and not target.is_symlink():
                target.symlink_to(source)
    (site,) = folder.glob("lib/python*/site-packages")
    # relative to the file: the folder is moved when it is complete
    (site / "netaug_linked.pth").write_text(f"../../../{_LINKED}\n", encoding="utf-8")


def _closure(name: str) -> Iterator[Distribution]:
    """Yield an installed package and all installed ones that it asks for."""
    waiting, seen = [name], set[str]()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform
        yield found
        for requirement in found.requires or ():
            if "extra ==" not in requirement:
                waiting.append(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])
