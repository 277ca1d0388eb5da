"""Which of several processes this one is, by the variables of torchrun and SLURM."""

from __future__ import annotations

import pytest

from netaug.core.errors import ConfigError
from netaug.distributed.launch import Place, alone, first_host, place

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "one", "MASTER_PORT": "29500"}
SLURM = {
    "SLURM_JOB_ID": "20007",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "gpu[003-004]",
    "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1",
}


def test_without_a_launcher_a_process_is_alone() -> None:
    assert place({}) == Place() == Place(rank=0, size=1, local_rank=0, rendezvous=None)
    assert place({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8"}) == Place(), "a batch script is no task of srun"


def test_torchrun_says_all_and_its_rendezvous_is_torchs_own() -> None:
    assert place(TORCHRUN) == Place(5, 8, 1)
    assert place({**SLURM, **TORCHRUN}) == Place(5, 8, 1), "torchrun inside a SLURM step"


def test_tasks_of_srun_meet_at_the_first_host_of_the_step() -> None:
    assert place(SLURM) == Place(3, 4, 1, ("gpu003", 15000 + 20007 % 20000))
    assert place({**SLURM, "MASTER_PORT": "4000"}).rendezvous == ("gpu003", 4000)
    assert place({**SLURM, "MASTER_ADDR": "me", "MASTER_PORT": "1"}).rendezvous is None


def test_a_single_task_of_srun_is_alone() -> None:
    found = place({**SLURM, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"})
    assert found == Place()


def test_without_a_list_of_hosts_the_launching_one_is_taken() -> None:
    variables = {name: value for name, value in SLURM.items() if name != "SLURM_STEP_NODELIST"}
    rendezvous = place(variables).rendezvous
    assert rendezvous is not None
    assert rendezvous[0] == "10.0.0.1"


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("gpu1", "gpu1"),
        ("gpu1,gpu2", "gpu1"),
        ("gpu[003-007,9],big1", "gpu003"),
        ("rack2-n[12,14]-ib", "rack2-n12-ib"),
    ],
)
def test_the_first_host_of_a_list(nodes: str, host: str) -> None:
    assert first_host(nodes) == host


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({**TORCHRUN, "RANK": "one"}, "RANK"),
        ({**TORCHRUN, "RANK": "8"}, "do not fit"),
        ({**TORCHRUN, "WORLD_SIZE": "0"}, "do not fit"),
        ({**SLURM, "SLURM_PROCID": "x"}, "SLURM_PROCID"),
        ({**SLURM, "SLURM_STEP_NODELIST": "[1-2]"}, "node list"),
    ],
)
def test_variables_that_make_no_sense_are_a_message(variables: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        place(variables)


def test_children_with_trainings_of_their_own_are_alone() -> None:
    kept = {"PATH": "/bin", "SLURM_JOB_ID": "20007", "RANKS": "mine"}
    left = alone({**TORCHRUN, **SLURM, **kept, "TORCHELASTIC_RUN_ID": "x"})
    assert left.items() >= kept.items()
    assert place(left) == Place()
