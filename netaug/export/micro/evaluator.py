"""The generated C as a shared library: the same sources that go to the device, run on this machine for its accuracy."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netaug.core.errors import NetaugError, ResourceError

_SOURCES = ("net.c", "kernels.c", "weights.c")
_STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror")


class _Tensor(ctypes.Structure):
    """`net_tensor` of net.h."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("channels", ctypes.c_int32),
        ("scale", ctypes.c_float),
        ("zero", ctypes.c_int32),
    )


def find_compiler() -> str | None:
    """Return the path of a C compiler on this machine, or None."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


class CompiledNetwork:
    """A network of a generated folder, compiled for this machine.

    Args:
        folder: From :func:`netaug.export.micro.folder.write_folder`.

    Raises:
        ResourceError: There is no C compiler, or it fails.
    """

    def __init__(self, folder: Path) -> None:
        with tempfile.TemporaryDirectory() as build:  # a loaded library does not need its file any more
            self._library = ctypes.CDLL(str(_compile(folder, Path(build) / "net.so")))
        self._input = _Tensor.in_dll(self._library, "net_input")
        self._outputs = self._find_outputs(folder)

    def _find_outputs(self, folder: Path) -> list[_Tensor]:
        header = (folder / "net.h").read_text(encoding="utf-8")
        count = int(header.split("#define NET_OUTPUTS ", 1)[1].split(None, 1)[0])
        return list((_Tensor * count).in_dll(self._library, "net_outputs"))

    @property
    def output_sizes(self) -> list[int]:
        """Return the number of values of each output."""
        return [tensor.size for tensor in self._outputs]

    def __call__(self, images_NHWC: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Run images one after another.

        Args:
            images_NHWC: int8 inputs, shape ``[N, height, width, channels]``.

        Returns:
            int8, shape ``[N, K]``: per image all output values, one output after another.
        """
        images = np.ascontiguousarray(images_NHWC, np.int8).reshape(len(images_NHWC), -1)
        if images.shape[1] != self._input.size:
            raise NetaugError(
                "The images do not fit the compiled network.",
                got=f"{images.shape[1]} values per image",
                allowed=f"{self._input.size}",
            )
        results = np.empty((len(images), sum(self.output_sizes)), np.int8)
        # one by one, as on the device: the arena is static, so a library runs one image at a time
        for image, result in zip(images, results, strict=True):
            ctypes.memmove(self._input.data, image.ctypes.data, image.size)
            self._library.net_run()
            position = 0
            for tensor in self._outputs:
                ctypes.memmove(result.ctypes.data + position, tensor.data, tensor.size)
                position += tensor.size
        return results


def _compile(folder: Path, library: Path) -> Path:
    """Compile the sources of a folder to a shared library, and return its path."""
    compiler = find_compiler()
    if compiler is None:
        raise ResourceError(
            "The generated C cannot be checked on this machine.",
            got="no C compiler (cc, gcc or clang) on PATH",
            fix="install one, for example with `apt-get install gcc`",
        )
    sources = [str(folder / name) for name in _SOURCES]
    command = [compiler, *_STRICT, "-O3", "-shared", "-fPIC", "-o", str(library), *sources]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise ResourceError(
            "The C compiler refuses the generated sources.",
            got=next(iter(done.stderr.strip().splitlines()), f"exit status {done.returncode}"),
            fix=f"run it yourself: make -C {folder} host",
        )
    return library
