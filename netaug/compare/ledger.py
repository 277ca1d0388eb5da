"""Keep on disk what a comparison was asked, which run folders it made, and what it decided.

Because decisions are kept, added seeds and a comparison that is resumed have the same arms. Nothing else is kept: which
runs are finished is read off the run folders, whose settings must fit. A run folder is removed only if the ledger
claimed it and no process holds it.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netaug.compare.request import CompareRequest
from netaug.config.settings import settings
from netaug.core.beside import teacher_folder
from netaug.core.errors import RunFolderError
from netaug.core.existing import COMPARISON_NAME
from netaug.core.io import is_leftover, write_atomic

OUTCOMES = ("compare.csv", "table.txt", "report.html", "report.md", "arms.csv", "differences.csv")
_RUN_FILES = (".lock", "config.yaml", "environment.json", "metrics.jsonl", "checkpoints", "summary.json")


class Ledger:
    """Own a comparison's folder: nothing is removed from it that was not recorded here before.

    Args:
        request: What is asked now.
        resolved: The settings all runs share, nested; what makes two comparisons the same.
        only_reads: Whether decisions are only read, and nothing is written.

    Raises:
        RunFolderError: The folder holds something else, or a comparison with other settings and
            ``overwrite`` is not set.
    """

    def __init__(
        self, request: CompareRequest, resolved: Mapping[str, Any], *, only_reads: bool = False
    ) -> None:
        self.out = request.out
        self._request = _identity(request, resolved)
        self._command = request.command()
        self._runs: list[str] = []
        self._long_epochs: dict[str, int] = {}
        self._longer: dict[str, str] = {}
        old = self._read()
        if old is not None:
            self._runs, self._long_epochs = list(old["runs"]), dict(old["long_epochs"])
            self._longer = dict(old["longer"])
        self._only_reads = only_reads
        if only_reads:
            return
        for name in self._runs:
            # left by a process that was killed while it removed the folder
            for removed in self.out.glob(f".{glob.escape(name)}*.removed"):
                shutil.rmtree(removed, ignore_errors=True)
        if old is not None:
            if request.overwrite:
                self._remove_all()
            elif differing := _difference(old["request"], self._request):
                raise RunFolderError(
                    f"the folder '{self.out}' holds a comparison with other settings.",
                    got=differing,
                    fix="give another --out, or --overwrite to remove that comparison's runs",
                )
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"the folder '{self.out}' cannot be created.", got=error, fix="give another --out"
            ) from error
        self._write()

    def folder(self, name: str) -> Path:
        """Return the run folder of that name; it need not exist."""
        return self.out / name

    def log(self, name: str) -> Path:
        """Return the file beside the run folder that takes what the run prints."""
        return self.out / f"{name}.log"

    def long_epochs(self, which: str, measured: int) -> int:
        """Return the epochs of a longer reference in a phase, as first decided: added seeds must fit the earlier."""
        decided = self._long_epochs.setdefault(which, measured)
        self._write()
        return decided

    def longer(self, arm: str, budget: str, name: str | None = None) -> str | None:
        """Return which arm has an arm's budget, as first decided; None as long as nothing was decided.

        Args:
            arm: The arm whose time or MACs are to be matched.
            budget: ``time`` or ``macs``.
            name: What to decide on if nothing was decided yet.
        """
        if name is not None and f"{arm} {budget}" not in self._longer:
            self._longer[f"{arm} {budget}"] = name
            self._write()
        return self._longer.get(f"{arm} {budget}")

    def unfinished(self, name: str) -> bool:
        """Return whether the run was begun by this comparison, and has a checkpoint to resume from."""
        folder = self.folder(name)
        checkpoints = itertools.chain(folder.glob("checkpoints/*"), folder.glob("starts/*/checkpoints/*"))
        return name in self._runs and not folder.is_symlink() and any(checkpoints)

    def claim(self, name: str) -> Path:
        """Make way for a run folder and its log, and record them as this comparison's own.

        Raises:
            RunFolderError: Something that this comparison has not made is in the way.
        """
        folder, log = self.folder(name), self.log(name)
        if name in self._runs:
            self._remove(name)
        for path in (folder, log):
            # exists() follows links, and a link that leads nowhere is in the way too
            if path.exists() or path.is_symlink():
                raise RunFolderError(
                    f"'{path}' is in the way and was not made by this comparison.",
                    fix="move it away, or give another --out",
                )
        if name not in self._runs:
            self._runs.append(name)
            self._write()
        return folder

    def saved_so_far(self) -> str:
        """Return what a stopped comparison leaves behind, in words."""
        finished = sum((self.folder(name) / "summary.json").exists() for name in self._runs)
        runs = "1 finished run is" if finished == 1 else f"{finished} finished runs are"
        return f"stopped; {runs} kept in {self.out}, the same command resumes it"

    def discard(self) -> None:
        """Undo the folder of a comparison that could not start; does nothing if any run has finished."""
        if any((self.folder(name) / "summary.json").exists() for name in self._runs):
            return
        self._remove_all()
        (self.out / COMPARISON_NAME).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: it holds something that is not ours
            self.out.rmdir()

    def _remove(self, name: str) -> None:
        self._remove_run(self.folder(name))
        self.log(name).unlink(missing_ok=True)

    def _remove_run(self, folder: Path) -> None:
        if folder.is_dir() and not folder.is_symlink():
            files = {entry.name for entry in folder.iterdir()}
            # a folder that somebody else put there under this name has none of these files, and is kept
            if not files or files.intersection(_RUN_FILES):
                # in one stroke: a folder that is half removed could no longer be told from a stranger's
                removed = self.out / f".{folder.name}.removed"
                folder.rename(removed)
                shutil.rmtree(removed)

    def _remove_all(self) -> None:
        for name in self._runs:
            self._remove(name)
            self._remove_run(teacher_folder(self.folder(name)))
        for name in OUTCOMES:
            (self.out / name).unlink(missing_ok=True)
        self._runs, self._long_epochs, self._longer = [], {}, {}

    def _read(self) -> dict[str, Any] | None:
        if not self.out.exists():
            return None
        if not self.out.is_dir():
            raise RunFolderError(
                f"--out '{self.out}' is a file.", fix="give a folder that does not exist yet"
            )
        path = self.out / COMPARISON_NAME
        if not path.exists():
            if not all(is_leftover(entry.name) for entry in self.out.iterdir()):
                raise RunFolderError(
                    f"the folder '{self.out}' exists and holds something other than a comparison.",
                    got=", ".join(sorted(entry.name for entry in self.out.iterdir())[:5]),
                    fix="give another --out; --overwrite removes only what a comparison has made",
                )
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            names, request, decided = content["runs"], content["request"], content["long_epochs"]
            longer = content.get("longer", {})
            is_valid = all(isinstance(part, dict) for part in (request, decided, longer))
            # these names become folders that are removed: none may lead elsewhere
            if not is_valid or not all(Path(name).name == name and name.strip(".") for name in names):
                raise ValueError("not a record of a comparison")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RunFolderError(
                f"the record of the earlier comparison, '{path}', cannot be read.",
                got=error,
                fix="give another --out",
            ) from error
        return {"runs": names, "request": request, "long_epochs": decided, "longer": longer}

    def _write(self) -> None:
        if self._only_reads:
            return
        content = {"command": self._command, "request": self._request}
        content |= {"long_epochs": self._long_epochs, "longer": self._longer, "runs": self._runs}
        write_atomic(self.out / COMPARISON_NAME, json.dumps(content, indent=2) + "\n")


def _identity(request: CompareRequest, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two requests must share to be one comparison; seeds, arms and values to tune may be added."""
    flat = {f"{group}.{key}": value for group, values in resolved.items() for key, value in values.items()}
    flat |= {"recipe": request.recipe, "--jobs": request.jobs, "--threads": request.threads}
    flat |= {"--nproc": request.nproc}
    arms = {
        arm.name: {"recipe": arm.recipe, **dict(arm.settings), "reference": arm.reference}
        for arm in request.arms
    }
    # as it will be read back from the file: tuples become lists
    plain: dict[str, Any] = json.loads(json.dumps({**flat, "arms": arms}, default=str))
    return plain


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return what keeps two requests from being one, in words; empty if nothing does. An arm may come or go."""
    before, now = old.get("arms", {}), new["arms"]
    keys = [key for key in {**new, **old} if key != "arms" and old.get(key) != new.get(key)]
    # a setting of a newer version does not make another comparison of an older record while it has its default
    keys = [key for key in keys if key in old or not _is_unchanged_default(key, new[key])]
    differences = [f"{key}: {old.get(key)!r} there, {new.get(key)!r} now" for key in keys]
    differences += [
        f"arm {name!r}: {before[name]!r} there, {now[name]!r} now"
        for name in before.keys() & now.keys()
        if before[name] != now[name]
    ]
    return "; ".join(differences)


def _is_unchanged_default(key: str, value: object) -> bool:
    """Return whether a setting that an earlier version did not have has its default, and so changes nothing."""
    if key == "--nproc":
        return value == 1
    setting = settings().get(key.rpartition(": ")[2])  # of several recipes each key has its recipe before it
    return setting is not None and json.loads(json.dumps(setting.default, default=str)) == value
