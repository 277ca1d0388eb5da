"""Layers that only the training has: parallel branches and depth, which become the caller's own layers at the end.

``pairs`` finds, in the graph that :mod:`netaug.elastic.trace` records, which convolutions are followed by a batch norm.
``branches`` puts branches at them and ``folding`` adds these up into one kernel; ``depth`` puts a second convolution
behind them whose non-linearity fades. ``method`` is what a training loop sees of both.

The package bears the name of the function `netaug.reparameterize`, and passes calls on to it.
"""

from __future__ import annotations

from netaug.core.callable_package import passes_calls_to

passes_calls_to(__name__, "netaug.reparameterize.branches", "reparameterize")
