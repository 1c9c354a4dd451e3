"""Which cores the services get: pure, from what the configuration says and the machine has."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rtes.common.config import Config, ServiceCores
from rtes.common.process import CoreError
from rtes.common.topology import PINNED, Core, cores_here, layout, numbers

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


BUSY = {"mesh": {"busy_poll": True}}
SIX_OF_TWO_THREADS = machine(*([n ^ 1] for n in range(12)))


def test_who_never_sleeps_has_a_physical_core_and_all_else_the_others() -> None:
    found = layout(config(**BUSY), SIX_OF_TWO_THREADS)
    assert (found.gateway, found.risk, found.matcher) == ([0], [2], [4])
    others = {tuple(getattr(found, s)) for s in ServiceCores.model_fields if s not in PINNED}
    assert others == {(6, 7, 8, 9, 10, 11)}


@pytest.mark.parametrize("here", [machine([], []), SIX_OF_TWO_THREADS[:10], machine(*[[]] * 5)])
def test_who_never_sleeps_is_refused_where_no_cores_are_to_spare(here: list[Core]) -> None:
    with pytest.raises(CoreError, match=r"busy_poll.* may use \d physical cores\. Set it to false"):
        layout(config(**BUSY), here)


@pytest.mark.parametrize("other", [{"pin": False}, {"matcher_shards": 2}, {"gateways": 2}])
def test_who_never_sleeps_is_refused_where_cores_are_not_chosen(other: dict[str, Any]) -> None:
    with pytest.raises(CoreError, match=r"busy_poll chooses the cores: it needs mesh\.pin"):
        layout(config(mesh={**BUSY["mesh"], **other}), SIX_OF_TWO_THREADS)


def test_the_layout_stays_when_a_process_has_taken_its_cores() -> None:
    """Health asks once more, on the cores that are left for it."""
    asks = (
        "import os; from rtes.common.config import load; from rtes.common import topology\n"
        "config = load('dev', {}); first = topology.layout_here(config)\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "assert topology.layout_here(config) == first, first"
    )
    subprocess.run([sys.executable, "-c", asks], check=True, timeout=60)


@pytest.mark.parametrize(
    ("text", "listed"), [("0", [0]), ("0-2,5", [0, 1, 2, 5]), ("0,32", [0, 32])]
)
def test_the_kernels_lists(text: str, listed: list[int]) -> None:
    assert numbers(text) == listed


def test_every_core_of_this_process_is_here_once() -> None:
    assert [core.number for core in cores_here()] == sorted(os.sched_getaffinity(0))


def test_a_machine_that_does_not_tell_of_its_cores(tmp_path: Path) -> None:
    assert all(core.siblings == [] for core in cores_here(tmp_path))
