"""The emergency when what it would like to lean on is gone: a disk that is really full, a health
process that is dead, no supervisord. Its stop, end to end, is in test_start_stop.py.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtes.client import Rejected
from rtes.client.testing import HEALTH, SERVICES, Mesh
from rtes.common.enums import OrdStatus
from rtes.common.refusals import Code
from rtes.control.audit import AuditLog

from tests.chaos.test_disk_full import fill, run, status, until_refused
from tests.integration.test_health_emergency import emergency, refused
from tests.meshes import connect, wait_for

pytestmark = pytest.mark.mesh


@pytest.fixture
def small_run_dir(tmp_path: Path) -> Iterator[Path]:
    """The exchange's whole directory on a disk of 12 MiB: journal, audit log, sockets."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    if os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    if not run("mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "tmpfs", directory):
        pytest.skip("a tmpfs cannot be mounted here")
    yield directory
    assert run("umount", directory)


def test_on_a_full_disk_it_stops_without_a_record_and_resumes_only_with_one(
    small_run_dir: Path, tmp_path: Path
) -> None:
    settings = {"segment_mib": 1, "retention": "all", "durability": "always"}
    with Mesh(tmp_path, journal=settings) as mesh:
        with connect(mesh, "DEMO1") as client, connect(mesh, "DEMO2") as other:
            mine = client.buy("AAPL", 1, 57_000)
            filler = fill(small_run_dir)
            until_refused(other, Code.READ_ONLY)
            stopped = emergency(mesh, "cancel-only", "the disk is full")
            assert stopped.returncode == 0, stopped.stderr
            assert "without a record" in stopped.stderr
            assert "No space left" in stopped.stderr
            client.cancel(mine)
            assert mine.status is OrdStatus.CANCELED
            resumed = emergency(mesh, "resume")
            assert resumed.returncode == 1
            assert "No space left" in resumed.stderr
            filler.unlink()
            mesh.hear(100)
            wait_for(lambda: refused_for_the_halt(mesh))
        for service in SERVICES:
            mesh.restart(service)
        mesh.wait_ready()
        assert refused_for_the_halt(mesh)
        assert emergency(mesh, "resume", "there is room again").returncode == 0
        with connect(mesh, "DEMO1") as client:
            assert not refused(client)
        actions = [(r["action"], r["reason"]) for r in AuditLog(mesh.paths).records()]
        assert actions[-1] == ("emergency resume", "there is room again")
        assert "emergency cancel-only" not in [action for action, _ in actions]


def refused_for_the_halt(mesh: Mesh) -> bool:
    """Orders are refused for the emergency, and no longer because the disk is full."""
    with connect(mesh, "DEMO3") as client:
        try:
            return refused(client)
        except Rejected as error:
            if error.code != Code.READ_ONLY:
                raise
            return False


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """With health, and like every Mesh without supervisord."""
    services = (*SERVICES, "marketdata", "snapshotter", HEALTH)
    with Mesh(tmp_path_factory.mktemp("watched"), services) as running:
        yield running


@pytest.mark.parametrize("stage", ["cancel-only", "halt", "mass-cancel", "stop"])
def test_without_health_and_supervisord_each_stage_works(watched: Mesh, stage: str) -> None:
    watched.kill(HEALTH)
    assert status(watched, "/live") == 0
    with connect(watched, "DEMO1") as client:
        order = client.buy("AAPL", 1, 57_000)
        done = emergency(watched, stage, "health is dead")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["stage"] == stage
        assert ("no supervisord runs here" in done.stderr) == (stage == "stop")
        assert refused(client)
        client.poll(0.2)
        canceled = stage == "mass-cancel"
        assert (order.status is OrdStatus.CANCELED) == canceled
        if not canceled:
            client.cancel(order)
    last = list(AuditLog(watched.paths).records())[-1]
    assert (last["action"], last["reason"]) == (f"emergency {stage}", "health is dead")
    watched.start(HEALTH)
    watched.wait_ready()
    alerts = watched.get("/metrics")[1].decode()
    assert 'rtes_symbols_halted{service="matcher",shard="0"} 0.0' not in alerts
    assert emergency(watched, "resume").returncode == 0


def test_without_gateway_and_supervisord_a_stop_says_that_nothing_was_stopped(
    tmp_path: Path,
) -> None:
    mesh = Mesh(tmp_path, ())
    done = emergency(mesh, "stop")
    mesh.close()
    assert done.returncode == 1
    assert "nothing was stopped" in done.stderr
