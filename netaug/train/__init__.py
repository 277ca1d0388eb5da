"""Makes a run out of steps: the step, the trainer, and what observes it.

The package bears the name of the function `netaug.train`, and passes calls on to it.
"""

from __future__ import annotations

from netaug.core.callable_package import passes_calls_to

passes_calls_to(__name__, "netaug.api.training", "train")
