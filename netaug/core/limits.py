"""Explain what the operating system refuses to a command: memory, processes, open files and space."""

from __future__ import annotations

import errno
import re

from netaug.core.errors import NetaugError, ResourceError, first_line

_NO_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|not enough memory|out of memory|bad_alloc|bad allocation"
    r"|failed to map segment|could not create a primitive|unable to allocate",
    re.IGNORECASE,
)
_NO_PROCESS = re.compile(r"can't start new thread|thread creation failed|Resource temporarily unavailable")
_FILES, _SPACE = (errno.EMFILE, errno.ENFILE), (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def explain_limit(error: BaseException) -> NetaugError | None:
    """Return the message for an error that comes from a limit of the system; None for other errors.

    An error that another one led to is looked at too: libraries often wrap what the system said.
    """
    while True:
        message = _explain(error)
        cause = error.__cause__ or error.__context__
        if message is not None or cause is None:
            return message
        error = cause


def _explain(error: BaseException) -> NetaugError | None:
    number, text = getattr(error, "errno", None), first_line(error).partition(". ")[0]
    if number in _FILES or "Too many open files" in text:
        return ResourceError(
            "this process may not open more files.",
            got=text,
            allowed=_limit("RLIMIT_NOFILE", "open files (ulimit -n)"),
            fix="raise the limit with `ulimit -n 4096`, or use fewer data.workers",
        )
    if number == errno.ENOMEM or isinstance(error, MemoryError) or _NO_MEMORY.search(text):
        return ResourceError(
            "memory ran out.",
            got=text or type(error).__name__,
            allowed=_limit("RLIMIT_AS", "bytes of address space (ulimit -v)"),
            fix="lower data.batch_size, data.image_size or data.workers, or raise the limit of memory",
        )
    if _NO_PROCESS.search(text):
        return ResourceError(
            "this process may not start more processes or threads.",
            got=text,
            allowed=_limit("RLIMIT_NPROC", "processes and threads of this user (ulimit -u)"),
            fix="use fewer data.workers, set OMP_NUM_THREADS=1, or raise the limit with `ulimit -u`",
        )
    if number in _SPACE:
        named = getattr(error, "filename", None)
        return ResourceError(
            f"{'the output' if named is None else repr(named)} cannot be written.",
            got=text,
            fix="free space on the disk that the standard output and the files of this command are on",
        )
    return None


def _limit(name: str, unit: str) -> str | None:
    """Write the limit that is set; None where there is none."""
    try:
        import resource
    except ImportError:
        return None
    if not hasattr(resource, name):
        return None
    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft == resource.RLIM_INFINITY else f"up to {soft:,} {unit}"
