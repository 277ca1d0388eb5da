"""The `.pte` of ExecuTorch with XNNPACK's kernels, compared with the trained network in ExecuTorch's runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from netaug.export.conversion import Conversion
from netaug.export.environments import EXECUTORCH, ensure, run_job
from netaug.export.formats.base import MAPS_LAST, SAMPLE, Format, Written
from netaug.export.formats.torch_program import save_program
from netaug.export.ladder import compare_floats

_LOAD = f"""
import torch
from executorch.runtime import Runtime

method = Runtime.get().load_program(HERE / "model.pte").load_method("forward")


def run(image_HWC):
    outputs = method.execute((torch.from_numpy(image_HWC.transpose(2, 0, 1)[None].copy()),))
    outputs = [output.numpy() for output in outputs]
    {MAPS_LAST}
"""


def _write(conversion: Conversion, folder: Path) -> Written:
    python = ensure(EXECUTORCH, fetch=conversion.fetch, needed_by="--to pte")
    images_NCHW = conversion.sample(SAMPLE)
    with tempfile.TemporaryDirectory() as place:
        model, images, answers = (Path(place) / name for name in ("model.pt2", "images.npy", "answers.npz"))
        save_program(conversion, model, free_batch=False)
        np.save(images, images_NCHW.numpy())
        run_job(python, "executorch_pte", list(map(str, (model, images, folder / "model.pte", answers))))
        with np.load(answers, allow_pickle=False) as archive:
            outputs = [torch.from_numpy(archive[name]) for name in archive.files]
    difference = compare_floats("ExecuTorch", outputs, conversion.trained(images_NCHW))
    check = f"model.pte: answers to {len(images_NCHW)} images differ from torch by at most {difference:.1e}"
    return Written(checks=(check,))


FORMAT = Format(_write, _LOAD, "numpy, Pillow, torch and executorch")
