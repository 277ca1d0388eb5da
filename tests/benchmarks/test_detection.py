"""The detection benchmark runs: every kind of step and part of an evaluation is timed in every round."""

import numpy as np
import pytest

from benchmarks.detection import LATE, NETAUG, PLAIN, Setting, evaluation_times, step_times

OPTIONS = {"channels": (4, 6, 8, 8), "blocks": (1, 1, 1, 1), "strides": (2, 2, 2, 2), "neck": (4, 4, 6)}
TINY = Setting("yolov3:micronet", 64, 2, 2, OPTIONS, yardstick=False)


@pytest.mark.slow
def test_everything_is_timed() -> None:
    steps, parts = step_times(TINY), evaluation_times(TINY)
    assert list(steps) == [PLAIN, NETAUG, LATE]
    assert list(parts) == ["network", "decoding and NMS", "average precision"]
    times = np.array([*steps.values(), *parts.values()])
    assert times.shape == (6, 2)
    assert (times > 0).all()
