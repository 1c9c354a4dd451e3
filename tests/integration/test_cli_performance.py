"""`rtes affinity` and `rtes latency` of a running exchange."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rtes.client import Client
from rtes.client.testing import Mesh
from rtes.common.placement import MEMBERS

from tests.meshes import wait_for

pytestmark = pytest.mark.mesh


def printed(mesh: Mesh, *arguments: str) -> tuple[int, str]:
    """Exit code and standard output."""
    done = subprocess.run(
        [sys.executable, "-c", "from rtes.client.cli import main; main()", *arguments,
         "--profile", str(mesh.config_file)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, done.stdout


def rtes(mesh: Mesh, *arguments: str) -> tuple[int, Any]:
    """Exit code and what is printed with --json."""
    code, text = printed(mesh, *arguments, "--json")
    return code, json.loads(text)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: nothing to pin to")
def test_pinned_without_naming_cores(tmp_path: Path) -> None:
    with Mesh(tmp_path, mesh={"pin": True}) as mesh:
        code, found = rtes(mesh, "affinity")
        rows = {row["service"]: row for row in found["services"]}
        cores = {service: row["has"] for service, row in rows.items()}
        assert code == 0, rows
        assert len(cores["gateway"]) == len(cores["risk"]) == len(cores["matcher"]) == 1
        assert cores["gateway"] != cores["matcher"]
        assert cores["archive"] == sorted(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["-m", "rtes.services.gateway", "--config"], 64),
        (["-c", "from rtes.client.cli import main; main()", "affinity", "--profile"], 1),
    ],
)
def test_busy_polling_is_refused_without_cores_to_spare(
    tmp_path: Path, command: list[str], code: int
) -> None:
    mesh = Mesh(tmp_path, (), mesh={"pin": True, "busy_poll": True})
    mesh.close()
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(here)})
    try:
        done = subprocess.run(
            [sys.executable, *command, str(mesh.config_file)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.sched_setaffinity(0, here)
    assert done.returncode == code
    assert "mesh.busy_poll keeps three cores busy and needs three more" in done.stderr
    assert done.stderr.count("\n") == 1


def test_stages_and_cores(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    with Mesh(tmp_path, MEMBERS, cores={"matcher": [core]}) as mesh:
        policies = {n: os.sched_getscheduler(p.pid) for n, p in mesh.processes.items()}
        yielding = {name for name, policy in policies.items() if policy == os.SCHED_IDLE}
        assert yielding == {"marketdata", "snapshotter"}  # no order waits for them

        with Client.connect("DEMO1", config=mesh.config) as client:
            for _ in range(20):
                client.buy("AAPL", 1, 58_000)
        stages: dict[str, Any] = {}

        def all_told() -> bool:
            """Every service has told health of the orders: each does so in its own time."""
            code, found = rtes(mesh, "latency", "--seconds", "0")
            assert code == 0
            stages.update((row["stage"], row) for row in found["stages"])
            return all(row["count"] >= 20 for row in found["stages"])

        wait_for(all_told)
        assert all(row["p50_us"] > 0 for row in stages.values()), stages
        assert stages["gateway to report"]["p50_us"] >= stages["gateway to risk"]["p50_us"]

        for options in (["--once"], []):  # without a terminal it ends, too
            code, text = printed(mesh, "latency", *options, "--seconds", "0")
            assert code == 0
            assert "since the start" in text
            assert all(name in text for name in stages), text

        code, found = rtes(mesh, "affinity")
        rows = {row["service"]: row for row in found["services"]}
        assert code == 0
        assert rows["matcher"]["has"] == rows["matcher"]["configured"] == [core]
        assert rows["matcher"]["pid"] == mesh.processes["matcher"].pid
        assert all(row["matches"] for row in rows.values()), rows

        if len(os.sched_getaffinity(0)) > 1:  # else there is no wrong core to be on
            for thread in Path(f"/proc/{rows['matcher']['pid']}/task").iterdir():
                os.sched_setaffinity(int(thread.name), os.sched_getaffinity(0))
            code, found = rtes(mesh, "affinity")
            assert code == 1
            assert found["matches"] is False
