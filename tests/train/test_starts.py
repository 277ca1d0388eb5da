"""Draws of the first weights compete by their training loss, and the winner is trained as if it had been alone."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netaug.config import StartsConfig
from netaug.config.loading import load_config
from netaug.core.errors import ConfigError, RunFolderError, TrainingError
from netaug.runs.folder import RunFolder
from netaug.train import run as run_module
from netaug.train.own_teacher import teacher_settings
from netaug.train.run import train
from netaug.train.starts import choose_start, halve, read_starts, rounds

SHORT = load_config(
    "demo/digits",
    (
        *("--data.limit=64", "--train.epochs=4", "--train.warmup_epochs=0", "--train.threads=1"),
        *("--netaug.enabled=false", "--starts.count=3", "--starts.until=0.5"),
    ),
)


@pytest.mark.parametrize(
    ("count", "until", "epochs", "expected"),
    [
        (1, 0.3, 10, []),
        (2, 0.3, 10, [(2, 3)]),
        (8, 0.3, 100, [(8, 10), (4, 20), (2, 30)]),
        (5, 1.0, 9, [(5, 3), (3, 6), (2, 9)]),
    ],
)
def test_each_round_halves_the_draws_at_equal_distances(
    count: int, until: float, epochs: int, expected: list[tuple[int, int]]
) -> None:
    assert rounds(count, until, epochs) == expected


def test_a_training_too_short_for_its_rounds_says_how_long_it_must_be() -> None:
    with pytest.raises(ConfigError, match=r"--train\.epochs 10 or more"):
        rounds(8, 0.3, 4)


def test_the_lowest_losses_remain_and_of_equal_ones_the_first_draws() -> None:
    table = {(0, 2): 3.0, (4, 2): 1.0, (5, 2): 1.0, (6, 2): math.inf, (7, 2): 0.5, (4, 4): 0.9, (5, 4): 0.2}
    table |= {(7, 4): 0.4, (5, 6): 0.3, (7, 6): 0.1}
    asked: list[tuple[int, int]] = []

    def losses_at(draws: Sequence[int], end: int) -> Iterator[float]:
        for draw in draws:
            asked.append((draw, end))
            yield table[draw, end]

    played = list(halve([0, 4, 5, 6, 7], [(5, 2), (3, 4), (2, 6)], losses_at))
    assert asked == [(0, 2), (4, 2), (5, 2), (6, 2), (7, 2), (7, 4), (4, 4), (5, 4), (5, 6), (7, 6)]
    assert [round_.kept for round_ in played] == [[7, 4, 5], [5, 7], [7]]
    assert played[0].lost == {0: 3.0, 6: math.inf}


def test_the_data_is_loaded_once_for_all_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    build = run_module.build_data
    monkeypatch.setattr(run_module, "build_data", lambda *a, **b: loaded.append(a) or build(*a, **b))
    train(SHORT, tmp_path / "run")
    assert len(loaded) == 1


def test_the_winner_is_the_network_that_its_draw_gives_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(SHORT, tmp_path / "run")
    shown = capsys.readouterr().err
    facts = read_starts(tmp_path / "run")
    assert facts is not None
    assert sorted([facts["draw"], *map(int, facts["lost"])]) == [0, 1, 2]
    assert facts["loss"] <= facts["lost"][_last_lost(shown)]
    assert f"draw {facts['draw']} is trained to the end" in shown
    assert shown.count("micronet: 331 parameters") == 1  # trials are silent
    alone = train(replace(SHORT, starts=StartsConfig(draw=facts["draw"])), tmp_path / "alone")
    assert result.folder.weights.read_bytes() == alone.folder.weights.read_bytes()
    assert [record.train_loss for record in result.folder.records()] == [
        record.train_loss for record in alone.folder.records()
    ]
    # one round of three draws, one of two, each of one epoch of four
    assert result.summary["train_macs"] == alone.summary["train_macs"] * (3 + 2 + 2) // 4
    assert result.summary["starts"] == {"count": 3, "draw": facts["draw"]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "run"]
    with pytest.raises(RunFolderError, match="exists already"):
        train(replace(SHORT, train=replace(SHORT.train, lr=0.2)), tmp_path / "alone")


def _last_lost(shown: str) -> str:
    """Return the draw that lost the last round, from what was printed."""
    return shown.split("epoch 2: draw (loss) ")[1].split(", ")[1].split(" ")[0]


def test_draw_zero_is_the_training_without_competition(tmp_path: Path) -> None:
    plain = replace(SHORT, starts=StartsConfig(), train=replace(SHORT.train, epochs=1))
    other = replace(plain, starts=StartsConfig(draw=1))
    zero, one = train(plain, tmp_path / "zero").folder, train(other, tmp_path / "one").folder
    assert zero.weights.read_bytes() != one.weights.read_bytes()
    assert "starts" not in json.loads(zero.summary.read_text())


@pytest.mark.parametrize("stopped_after", [2, 6])
def test_a_competition_that_was_stopped_goes_on_to_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_after: int
) -> None:
    undisturbed = train(SHORT, tmp_path / "a")
    begun, seen = run_module.TrainingConsole.epoch, [0]

    def stop(self: Any, record: Any) -> None:
        seen[0] += 1
        if seen[0] == stopped_after:
            raise KeyboardInterrupt
        begun(self, record)

    monkeypatch.setattr(run_module.TrainingConsole, "epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        train(SHORT, tmp_path / "b")
    resumed = train(SHORT, tmp_path / "b")
    assert resumed.folder.weights.read_bytes() == undisturbed.folder.weights.read_bytes()
    assert not (tmp_path / "b" / "starts").exists()


def test_a_draw_that_diverges_loses_and_all_of_them_are_an_error(tmp_path: Path) -> None:
    def diverges(some: set[int]) -> Any:
        def trial(settings: Any, folder: Path, end: int) -> None:
            if settings.starts.draw in some:
                raise TrainingError("the loss is not a finite number.", diverged=True)
            train(settings, folder, until=end)

        return trial

    choose_start(SHORT, tmp_path / "run", diverges({0, 2}))
    facts = read_starts(tmp_path / "run")
    assert facts is not None
    assert (facts["draw"], facts["lost"]) == (1, {"0": None, "2": None})
    assert len(RunFolder(tmp_path / "run").records()) == 2
    with pytest.raises(TrainingError, match="the loss of every draw"):
        choose_start(SHORT, tmp_path / "other", diverges({0, 1, 2}))
    # a lower rate, as the message advises, may have the same folder
    slower = replace(SHORT, train=replace(SHORT.train, lr=0.01))
    choose_start(slower, tmp_path / "other", diverges(set()))


def test_a_failure_of_the_machine_decides_nothing(tmp_path: Path) -> None:
    def fails(settings: Any, folder: Path, end: int) -> None:
        if settings.starts.draw == 1:
            raise TrainingError("memory ran out.")
        train(settings, folder, until=end)

    with pytest.raises(TrainingError, match="memory ran out"):
        choose_start(SHORT, tmp_path / "run", fails)
    assert read_starts(tmp_path / "run") is None
    with pytest.raises(RunFolderError, match="other settings"):
        train(replace(SHORT, train=replace(SHORT.train, lr=0.2)), tmp_path / "run")
    resumed = train(SHORT, tmp_path / "run").folder
    assert resumed.weights.read_bytes() == train(SHORT, tmp_path / "other").folder.weights.read_bytes()


def test_what_someone_else_put_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run" / "starts").mkdir(parents=True)
    (tmp_path / "run" / "starts" / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="exists already"):
        train(SHORT, tmp_path / "run")
    assert (tmp_path / "run" / "starts" / "notes.txt").read_text() == "mine"


def test_draws_share_the_teacher_which_has_the_first_weights_of_any_other(tmp_path: Path) -> None:
    taught = replace(SHORT, distill=replace(SHORT.distill, teacher=("wider:2",)))
    assert teacher_settings(taught, 2.0).starts == StartsConfig()


def test_patience_ends_no_draw_early(tmp_path: Path) -> None:
    patient = replace(SHORT, train=replace(SHORT.train, patience=1, epochs=6))
    assert train(patient, tmp_path / "run").folder.records()


def test_weights_to_start_from_and_a_competition_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave one of them out"):
        replace(SHORT, model=replace(SHORT.model, weights="runs/x"))
