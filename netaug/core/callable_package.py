"""Let a package be called where it bears the name of a public function.

Python puts an imported package into its parent's namespace, where it hides a function of its name, such as
:func:`netaug.train` behind the package ``netaug.train``. The package itself can then be called, and passes the call on.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Call the function that the package is named after."""
        module, function = self.__dict__["_called"]
        return getattr(import_module(module), function)(*arguments, **settings)


def passes_calls_to(package: str, module: str, function: str) -> None:
    """Make calls of a package calls of a function.

    Args:
        package: Its ``__name__``.
        module: Where the function is; imported at the first call, as it may be above the package.
        function: Its name.
    """
    sys.modules[package].__dict__["_called"] = module, function
    sys.modules[package].__class__ = _CallablePackage
