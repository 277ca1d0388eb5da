"""Calling a model factory, ours or the user's, so that every mistake becomes a message."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from netaug.core.errors import ModelError, NetaugError
from netaug.core.suggest import did_you_mean, nearest

Factory = Callable[..., object]

_SHOWN = 8
EXPECTED = "def build(*, num_classes: int, in_chans: int, **options) -> torch.nn.Module"


def call(
    factory: Factory, name: str, fixed: Mapping[str, object], options: Mapping[str, object]
) -> nn.Module:
    """Build a model with ``factory(**fixed, **options)``.

    Args:
        factory: The function or class to call.
        name: How the user named the model, for messages.
        fixed: Arguments that are not the user's options, such as ``num_classes`` and ``in_chans``.
        options: The user's keyword arguments.

    Raises:
        ModelError: The factory does not accept the arguments, fails, or returns something else than a module.
    """
    fixed = _accepted(factory, fixed, options)
    _check_arguments(factory, name, fixed, options)
    try:
        model = factory(**fixed, **options)
    except NetaugError:
        raise
    except Exception as error:
        got = ", ".join(f"{key}={value!r}" for key, value in {**fixed, **options}.items())
        # A factory that passes **options on may still refuse what every factory is given.
        refused = isinstance(error, TypeError) and any(repr(key) in str(error) for key in fixed)
        raise ModelError(
            f"model {name!r} cannot be built: {describe(error)}",
            got=got,
            allowed=EXPECTED if refused else None,
            fix="wrap it in a factory of that form" if refused else "check the model's options",
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{name!r} did not return a model.", got=type(model).__name__, allowed="a torch.nn.Module"
        )
    return model


def _accepted(
    factory: Factory, fixed: Mapping[str, object], options: Mapping[str, object]
) -> dict[str, object]:
    """Return the fixed arguments that the factory takes: one may know its classes and channels by itself.

    The network is tried on data before it is trained, which tells whether it does.
    """
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return dict(fixed)
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    others = (
        name for name, value in parameters.items() if value.default is value.empty and name not in fixed
    )
    if takes_any or any(name not in options and parameters[name].kind not in _STARRED for name in others):
        return dict(fixed)  # it wants its arguments under other names, which is said then
    return {key: value for key, value in fixed.items() if key in parameters}


def describe(error: Exception) -> str:
    """Write kind, text and place of an error in somebody else's code, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    location = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}{location}"


def load(path: str) -> Factory:
    """Import the factory named ``package.module:function`` or ``FILE.py:function``.

    Modules of the working directory are found too, and a file's own neighbors while it is imported.

    Raises:
        ModelError: The module cannot be imported, or has no such function.
    """
    module_name, _, attribute = path.partition(":")
    if module_name.endswith(".py"):
        module = _import_file(Path(module_name), path)
    else:
        with working_directory_importable():
            module = _import(module_name, path)
    candidate = getattr(module, attribute, None)
    if candidate is None or not callable(candidate):
        own = getattr(module, "__name__", None)
        names = [
            key
            for key, value in vars(module).items()
            if callable(value) and not key.startswith("_") and getattr(value, "__module__", own) == own
        ]
        raise ModelError(
            f"module {module_name!r} has no function {attribute!r}.",
            got=repr(path),
            allowed=f"package.module:function, or FILE.py:function, with {EXPECTED}",
            fix=did_you_mean(repr(f"{module_name}:{near}") for near in nearest(attribute, names, 3))
            or (
                f"it has: {', '.join(names[:_SHOWN])}" if names else "it has no class or function of its own"
            ),
        )
    if isinstance(candidate, nn.Module):  # it is callable, but makes no networks
        raise ModelError(
            f"{path!r} is a network that is built already, and its classes may be others than those of the data.",
            got=f"an object of {type(candidate).__name__}",
            allowed=f"package.module:function, or FILE.py:function, with {EXPECTED}",
            fix=f"name its class: {module_name}:{type(candidate).__name__}",
        )
    factory: Factory = candidate
    return factory


@contextmanager
def working_directory_importable(folder: str | None = None) -> Iterator[None]:
    """Let the modules of the working directory, or of a folder, be imported here, and only while the block runs.

    They come last, so that nothing installed is hidden. Left on the path, a folder such as ``wandb`` would later stand
    in for a package that is not installed.
    """
    here = os.getcwd() if folder is None else folder
    if {"" if folder is None else here, here} & set(sys.path):
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


_FILES: dict[Path, ModuleType] = {}
"""Modules that were imported from files: a second look at a factory finds the same classes."""


def _import_file(file: Path, path: str) -> ModuleType:
    file = file.resolve()
    if file in _FILES:
        return _FILES[file]
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if not file.is_file() or spec is None or spec.loader is None:
        files = sorted(entry.name for entry in file.parent.glob("*.py"))
        raise ModelError(
            f"there is no file '{file}'.",
            got=repr(path),
            allowed="FILE.py:function, or package.module:function",
            fix=did_you_mean(map(repr, nearest(file.name, files, 3))),
        )
    module = importlib.util.module_from_spec(spec)
    try:
        with working_directory_importable(str(file.parent)):
            # Dataclasses and pickles look a class's module up by name; one that is imported already stays.
            sys.modules.setdefault(file.stem, module)
            spec.loader.exec_module(module)
    except Exception as error:
        if sys.modules.get(file.stem) is module:
            del sys.modules[file.stem]
        raise _import_failed(file.name, path, error) from error
    _FILES[file] = module
    return module


def _import(module_name: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _import_failed(module_name, path, error) from error
        raise ModelError(
            f"there is no module {error.name!r}.",
            got=repr(path),
            allowed="an importable package.module:function; the working directory is searched too",
            fix=_nearest_module(error.name),
        ) from error
    except Exception as error:
        raise _import_failed(module_name, path, error) from error


def _import_failed(module_name: str, path: str, error: Exception) -> ModelError:
    return ModelError(
        f"importing module {module_name!r} failed: {describe(error)}",
        got=repr(path),
        allowed="an importable package.module:function",
    )


def _nearest_module(missing: str) -> str | None:
    parent, _, leaf = missing.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", ()) if parent else None
    siblings = [info.name for info in pkgutil.iter_modules(folders)]
    return did_you_mean(repr(f"{parent}.{near}" if parent else near) for near in nearest(leaf, siblings, 3))


def _check_arguments(
    factory: Factory, name: str, fixed: Mapping[str, object], options: Mapping[str, object]
) -> None:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some classes written in C have no signature to check
        return
    kinds = {parameter.kind for parameter in parameters.values()}
    by_name = {key for key, value in parameters.items() if value.kind in _BY_NAME}
    takes_any = inspect.Parameter.VAR_KEYWORD in kinds
    missing = [key for key in fixed if key not in by_name and not takes_any]
    required = [
        key
        for key, value in parameters.items()
        if value.default is value.empty and value.kind not in _STARRED
    ]
    unfilled = [key for key in required if key not in fixed and key not in options]
    if missing or unfilled:
        problem = (
            f"does not accept {' and '.join(missing)}" if missing else f"also needs {', '.join(unfilled)}"
        )
        raise ModelError(
            f"the factory {name!r} {problem}.",
            got=f"{getattr(factory, '__name__', name)}{inspect.signature(factory)}",
            allowed=EXPECTED,
            fix=None if missing else "give them as model options",
        )
    allowed = sorted(by_name - set(fixed))
    for key in options:
        if key in fixed or (key not in by_name and not takes_any):
            raise ModelError(
                f"model {name!r} has no option {key!r}.",
                got=f"{key}={options[key]!r}",
                allowed=", ".join(allowed) or "no options",
                fix=did_you_mean(map(repr, nearest(key, allowed, 3)))
                or "leave it out; --model.options '{}' drops all options of a recipe",
            )


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def without_pretrained(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a factory's options with which it downloads no weights, where it has an option for them."""
    return {**options, "pretrained": False} if "pretrained" in options else dict(options)
