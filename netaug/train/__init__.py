"""Makes a run out of steps: the step, the trainer, and what observes it.

The package bears the name of the function `netaug.train`. Python puts an imported package into its parent's namespace,
so the package itself can be called, and passes the call on.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Call :func:`netaug.api.training.train`."""
        from importlib import import_module  # by name: the function lives above this package, and calls it

        return import_module("netaug.api.training").train(*arguments, **settings)


sys.modules[__name__].__class__ = _CallablePackage
