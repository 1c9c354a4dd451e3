"""Which cores the services get: pure, from what the configuration says and the machine has."""

import os
from pathlib import Path
from typing import Any

import pytest
from rtes.common.config import Config, ServiceCores
from rtes.common.topology import Core, cores_here, layout, numbers

NONE = ServiceCores()


def config(**sections: Any) -> Config:
    mesh = {"run_dir": "run", "pin": True} | sections.pop("mesh", {})
    return Config.model_validate({"environment": "dev", "mesh": mesh, **sections})


def machine(*siblings: list[int]) -> list[Core]:
    """Core N shares its physical core with siblings[N]."""
    return [Core(n, 0, min([n, *own]), own) for n, own in enumerate(siblings)]


def cores(gateway: int, risk: int, matcher: int) -> ServiceCores:
    return ServiceCores(gateway=[gateway], risk=[risk], matcher=[matcher])


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (machine([]), NONE),
        (machine([], []), cores(0, 1, 1)),
        (machine([1], [0]), cores(0, 1, 1)),  # two threads of one core: better than none
        (machine([], [], []), cores(0, 1, 1)),
        (machine([1], [0], [3], [2]), cores(0, 2, 2)),
        (machine([], [], [], []), cores(0, 1, 2)),
        (machine([4], [5], [6], [7], [0], [1], [2], [3]), cores(0, 1, 2)),
        (machine([1], [0], [3], [2], [5], [4], [7], [6]), cores(0, 2, 4)),
    ],
)
def test_each_has_a_physical_core_as_far_as_there_are(
    here: list[Core], expected: ServiceCores
) -> None:
    assert layout(config(), here) == expected


def test_cores_that_this_process_may_not_use_are_left_out() -> None:
    """Their siblings 0 and 1 are another's: so 4 and 5 count as cores of their own."""
    here = [Core(2, 0, 0, [3]), Core(3, 0, 0, [2]), Core(4, 0, 1, [0]), Core(5, 0, 2, [1])]
    assert layout(config(), here) == cores(2, 4, 4)


@pytest.mark.parametrize(
    "other",
    [
        {"mesh": {"pin": False}},
        {"mesh": {"matcher_shards": 2}},
        {"mesh": {"risk_shards": 2}},
        {"mesh": {"gateways": 2}},
        {"mesh": {"hosts": dict.fromkeys(("gateway", "risk", "matcher", "marketdata"), "a")
                  | {"health": "b"}}},
    ],
)  # fmt: skip
def test_the_kernel_decides_otherwise(other: dict[str, Any]) -> None:
    assert layout(config(**other), machine([], [])) == NONE


def test_what_is_listed_holds() -> None:
    listed = {"archive": [1]}
    assert layout(config(cores=listed), machine([], [])) == ServiceCores(archive=[1])


@pytest.mark.parametrize(
    ("text", "listed"), [("0", [0]), ("0-2,5", [0, 1, 2, 5]), ("0,32", [0, 32])]
)
def test_the_kernels_lists(text: str, listed: list[int]) -> None:
    assert numbers(text) == listed


def test_every_core_of_this_process_is_here_once() -> None:
    assert [core.number for core in cores_here()] == sorted(os.sched_getaffinity(0))


def test_a_machine_that_does_not_tell_of_its_cores(tmp_path: Path) -> None:
    assert all(core.siblings == [] for core in cores_here(tmp_path))
