"""Brings a trained network to a device: float form, ranges, int8 form, and the files that runtimes read.

The package bears the name of the function `netaug.export`, and passes calls on to it.
"""

from __future__ import annotations

from netaug.core.callable_package import passes_calls_to

passes_calls_to(__name__, "netaug.api.export", "export")
