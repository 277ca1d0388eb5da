"""Statistics estimated before an evaluation are those of the present weights, and leave the training alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from netaug.cli import main
from netaug.config.loading import load_config
from netaug.elastic.recalibrate import Statistics
from netaug.runs.checkpoints import Checkpoints, read_checkpoint
from netaug.train.run import RunResult, train
from netaug.weights.metadata import load_weights
from tests import tiny

WORDS = (
    "--data.limit=96",
    "--data.batch_size=32",
    "--train.epochs=2",
    "--train.warmup_epochs=0",
    "--train.threads=1",
)


def _run(out: Path, *words: str) -> RunResult:
    return train(load_config("demo/digits", (*WORDS, *words)), out)


@pytest.mark.slow
def test_a_training_keeps_every_bit_and_what_is_saved_is_what_was_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the run resumes between two evaluations, of which the second is of the recalibrated network."""
    plain, fresh = _run(tmp_path / "plain"), _run(tmp_path / "fresh", "--train.recalibrate=64")
    states = [
        read_checkpoint(Checkpoints(result.folder.checkpoints).paths()[-1])["network"]
        for result in (plain, fresh)
    ]
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())
    saved, _ = load_weights(fresh.folder.weights)
    kept, _ = load_weights(plain.folder.weights)
    differing = {n for n, t in saved.state_dict().items() if not torch.equal(t, kept.state_dict()[n])}
    assert differing
    assert all("running" in name or "num_batches" in name for name in differing)
    assert main(["eval", str(fresh.folder.path)]) == 0
    assert f"top-1 {fresh.summary['val_top1']:.2f} %" in capsys.readouterr().out
    # Both networks have the same weights: with statistics of the same images they are as good.
    assert main(["eval", str(plain.folder.path), "--recalibrate=96"]) == 0
    assert main(["eval", str(fresh.folder.path), "--recalibrate=96"]) == 0
    one, other = capsys.readouterr().out.splitlines()
    assert one == other
    assert main(["eval", str(fresh.folder.path), "--recalibrate=-1"]) == 2
    assert main(["eval", str(fresh.folder.path), "--recalibrate=4", "--widths=base"]) == 2


def test_statistics_are_those_of_all_images_of_all_processes() -> None:
    """Each rank measures its images; merged, they are those of one process with all of them."""
    first, second = ((tiny.images(count, seed=count).double(),) for count in (4, 6))
    networks = [tiny.build("inverted").double().eval() for _ in range(3)]
    whole, mine, others = (Statistics(network) for network in networks)
    whole.measure([first, second])
    mine.measure([first])
    others.measure([second])
    whole.write()
    messages: list[Tensor] = []

    def record(own: Tensor) -> Tensor:
        messages.append(own.clone())
        return own[None]

    others.write(record)
    mine.write(lambda own: torch.stack([own, messages.pop(0)]))
    for name, buffer in networks[0].named_buffers():
        if "running" in name:
            torch.testing.assert_close(networks[1].get_buffer(name), buffer, rtol=1e-12, atol=1e-12)
