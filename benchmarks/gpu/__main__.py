"""Check on a GPU what tests check on the CPU, and measure what only a GPU shows, within a few minutes.

    python -m benchmarks.gpu [--device cuda] [--minutes 8] [--json FILE] [--small] [--only PART ...]

Each part prints one line and does not end the others. Exit code 1: a part failed. See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
from collections.abc import Sequence
from pathlib import Path

# cuBLAS reads it at its first use in the process; without it the parts with deterministic algorithms are refused.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch

from benchmarks.gpu import exactness, figures, precision, runs, synchronizations
from benchmarks.gpu.parts import Part, Setting, run_parts
from netaug.core.device import choose_device
from netaug.core.errors import ConfigError

PARTS = (
    Part("base pass", 30, exactness.base_pass),
    Part("extraction", 15, exactness.extraction),
    Part("gathered weights", 15, exactness.gathered_weights),
    Part("float64 gradients", 5, exactness.float64_gradients),
    Part("sorting", 15, exactness.sorting),
    Part("synchronizations", 20, synchronizations.synchronizations),
    Part("deterministic", 10, precision.deterministic),
    Part("bf16", 10, precision.bf16),
    Part("fp16", 10, precision.fp16),
    Part("channels_last", 10, precision.channels_last),
    Part("from_stage", 15, precision.from_stage),
    Part("palette", 15, precision.palette),
    Part("resume", 20, runs.resume),
    Part("loader workers", 30, runs.loader_workers),
    Part("two processes", 45, runs.two_processes),
    Part("step times", 60, figures.step_times),
    Part("kernels", 60, figures.kernels),
    Part("peak memory", 30, figures.peak_memory),
    Part("throughput", 120, figures.throughput),
    Part("compiled base pass", 90, precision.compiled),
    Part("dispatches", 20, figures.dispatches),
)
"""In the order of what one would miss most if the time ran out."""
_GRACE_SECONDS = 45


def main(words: Sequence[str] | None = None) -> int:
    """Run the parts; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="for all parts; what does not fit is skipped"
    )
    parser.add_argument("--json", type=Path, help="write the results here, after each part")
    parser.add_argument(
        "--small", action="store_true", help="as few and as small as can be, to test the parts"
    )
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], help="run these parts")
    asked = parser.parse_args(words)
    try:
        setting = Setting(choose_device(asked.device, "--device"), asked.small)
    except ConfigError as error:
        parser.error(str(error))
    # What hangs, a part or the exit, shows where it does; what was written before it stays.
    faulthandler.dump_traceback_later(60 * asked.minutes + _GRACE_SECONDS, exit=True)
    name = torch.cuda.get_device_name(setting.device) if setting.is_cuda else "CPU"
    print(f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}", flush=True)
    parts = [part for part in PARTS if asked.only is None or part.name in asked.only]
    results = run_parts(parts, setting, asked.minutes, asked.json)
    counts = {
        status: sum(result.status == status for result in results) for status in ("PASS", "FAIL", "SKIP")
    }
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
