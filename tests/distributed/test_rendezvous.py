"""Processes of one attempt agree on a name, whatever earlier attempts left in the store."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch.distributed as dist

from netaug.core.errors import ConfigError, DataError, NetaugError
from netaug.distributed.consistency import Report, check_reports
from netaug.distributed.launch import Place
from netaug.distributed.rendezvous import agree_on_name, connect


def test_attempts_that_share_a_store_get_names_of_their_own() -> None:
    store = dist.HashStore()
    store.set("hello/1", "of a process that is dead")
    names = []
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(agree_on_name, store, Place(rank, 3), 30) for rank in order]
            found = {one.result()[0] for one in waiting}
        assert len(found) == 1
        names += found
    assert len(set(names)) == 3


def outcomes(*reports: Report) -> list[str]:
    """What each rank is told when these meet; the name of the class of its error is in front."""
    store = dist.HashStore()

    def rank(number: int) -> str:
        try:
            agree_on_name(store, Place(number, len(reports)), 30, reports[number])
        except NetaugError as error:
            return error.report()
        return "met"

    with ThreadPoolExecutor(len(reports)) as pool:
        return list(pool.map(rank, range(len(reports))))


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ([Report({"a": 1}), Report({"a": 1})], "met"),
        ([Report({"a": (1, 2.5)}), Report({"a": [1, 2.5]})], "met"),
        ([Report({"train.lr": 0.1}), Report({"train.lr": 0.2})], "train.lr 0.1 on rank 0, 0.2 on rank 1"),
        ([Report({"x": None}), Report({"x": "a"})], 'x null on rank 0, "a" on rank 1'),
        ([Report({"x": 1}), Report({"x": 1, "new": 2})], "new not known on rank 0, 2 on rank 1"),
        (
            [Report(), Report(error=DataError("a folder is empty."))],
            "DataError: rank 1 cannot start: a folder",
        ),
        (
            [Report(error=ConfigError("no.", fix="yes")), Report({"x": 1})],
            "ConfigError: rank 0 cannot start: no.",
        ),
    ],
)
def test_reports_that_do_not_fit_are_the_same_message_on_every_rank(reports: list[Report], said: str) -> None:
    first, *others = outcomes(*reports)
    assert said in first
    assert set(others) == {first}


def test_three_ranks_learn_of_one_that_failed_without_waiting_for_all() -> None:
    assert all(
        "rank 2 cannot start" in one for one in outcomes(Report(), Report(), Report(error=DataError("x.")))
    )


@pytest.mark.parametrize("text", ["yes", "", "[1]", '{"facts": {}}'])
def test_a_report_of_an_earlier_version_says_nothing(text: str) -> None:
    assert Report.from_json(text) == Report()
    found = check_reports({0: Report({"the version of netaug": "2"}), 1: Report.from_json(text)})
    assert "the version of netaug" in str(found)


def test_a_listener_that_never_answers_does_not_outlast_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        here = Place(1, 2, 1, ("127.0.0.1", silent.getsockname()[1]))
        with pytest.raises(RuntimeError, match="does not answer as a store"):
            connect(here, timedelta(seconds=0.1))


def test_who_is_missing_is_named() -> None:
    store = dist.HashStore()
    with pytest.raises(RuntimeError, match="rank 1, 2"):
        agree_on_name(store, Place(0, 3), 0.1)
    with pytest.raises(RuntimeError):
        agree_on_name(store, Place(1, 3), 0.1)
