"""Turns a `.pt2` of torch.export into a `.pte` of ExecuTorch, and runs it: MODEL IMAGES PTE ANSWERS.

IMAGES is an array ``[N, C, H, W]`` of NumPy, ANSWERS an archive of arrays ``[N, ...]``, one per output.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def main(model: str, images: str, pte: str, answers: str) -> None:
    """Convert a file, and write what ExecuTorch answers."""
    # in here: these packages are in another environment than netaug
    import numpy as np
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    program: Any = torch.export.load(model)
    lowered: Any = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    Path(pte).write_bytes(lowered.to_executorch().buffer)
    method = Runtime.get().load_program(Path(pte)).load_method("forward")
    rows = [
        [output.clone().numpy() for output in method.execute((torch.from_numpy(image_CHW[None]),))]
        for image_CHW in np.load(images)
    ]
    np.savez(answers, *(np.concatenate(outputs) for outputs in zip(*rows, strict=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
