"""Brings a trained network to a device: float form, ranges, int8 form, and the files that runtimes read.

The package bears the name of the function `netaug.export` and passes calls on to it, as :mod:`netaug.train` does.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Call :func:`netaug.api.export.export`."""
        from importlib import import_module  # by name: the function lives above this package, and calls it

        return import_module("netaug.api.export").export(*arguments, **settings)


sys.modules[__name__].__class__ = _CallablePackage
