"""`rtes journal` on what a real mesh wrote: checked, shown, executed again in another process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rtes.client import Client
from rtes.client.testing import SERVICES, Mesh
from rtes.common.journal import segments
from rtes.common.snapshots import Snapshots

from tests.meshes import wait_for

pytestmark = pytest.mark.mesh
SETTINGS = {"snapshot_commands": 1_000, "segment_mib": 1, "retention": "all"}
RTES = Path(sys.executable).parent / "rtes"


def run(mesh: Mesh, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(RTES), "journal", *arguments, "--profile", str(mesh.config_file)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60
    )


def answer(mesh: Mesh, *arguments: str) -> dict[str, Any]:
    done = run(mesh, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def test_a_running_exchange_is_checked_and_executed_again(tmp_path: Path) -> None:
    with Mesh(tmp_path, (*SERVICES, "snapshotter"), journal=SETTINGS) as mesh:
        snapshots = Snapshots(mesh.paths.snapshots_dir(0))
        with Client.connect("DEMO1", config=mesh.config) as client:
            while len(segments(mesh.paths.journal_dir(0))) < 2 or not snapshots.seqs():
                for i in range(500):
                    client.buy("AAPL", 1 + i % 5, 58_600 - i % 3, wait=i % 50 == 49)
                    client.sell("AAPL", 1 + i % 4, 58_600 - i % 3, wait=i % 50 == 49)
        wait_for(lambda: answer(mesh, "digest")["seq"] == answer(mesh, "verify")["last_seq"])
        checked = answer(mesh, "verify")
        assert (checked["damage"], checked["first_seq"]) == ("", 1)
        replayed = answer(mesh, "replay")
        assert replayed["commands"] == replayed["seq"] == checked["last_seq"]
        assert replayed["snapshots_compared"] >= 1
        assert answer(mesh, "digest")["digest"] == replayed["digest"]
        half = answer(mesh, "replay", "--to", str(checked["last_seq"] // 2))
        assert half["seq"] <= checked["last_seq"] // 2
        dumped = run(mesh, "dump", "--from", "5", "--to", "5")
        block = json.loads(dumped.stdout)
        assert 5 in [c["seq"] for c in block["commands"]]
        assert all(told["reports"] and "moves" in told for told in block["told"])
        tail = run(mesh, "tail", "--blocks", "1")
        last = json.loads(tail.stdout)
        assert last["first_seq"] + len(last["commands"]) - 1 == checked["last_seq"]


def test_damage_is_named_by_the_tool_and_stops_the_matcher(tmp_path: Path) -> None:
    with Mesh(tmp_path) as mesh:
        with Client.connect("DEMO1", config=mesh.config) as client:
            for _ in range(10):
                client.buy("AAPL", 1, 58_500)
        mesh.kill("matcher")
        (segment,) = segments(mesh.paths.journal_dir(0))
        data = bytearray(segment.read_bytes())
        data[100] ^= 1
        segment.write_bytes(data)
        done = run(mesh, "verify")
        assert done.returncode == 71
        assert f"{segment.name}: byte 0: damaged, and blocks follow" in done.stdout
        mesh.start("matcher")
        assert mesh.processes["matcher"].wait(20) == 71
        assert "Restore the file from a copy" in mesh.log("matcher")
        assert segment.read_bytes() == data
        segment.unlink()
        data[100] ^= 1
        segment.write_bytes(data)
        mesh.start("matcher")
        mesh.wait_ready()


@pytest.mark.parametrize("blocks", ["0", "1"])
def test_following_misses_no_block(tmp_path: Path, blocks: str) -> None:
    """However many are written between two looks."""
    out = tmp_path / "tail.out"

    def first_seqs() -> list[tuple[int, int]]:
        """(first sequence number, how many) of each block that was printed."""
        read = [json.loads(line) for line in out.read_text().splitlines(keepends=True)
                if line.endswith("\n")]  # fmt: skip
        return [(block["first_seq"], len(block["commands"])) for block in read]

    with Mesh(tmp_path) as mesh, Client.connect("DEMO1", config=mesh.config) as client:
        client.buy("AAPL", 1, 58_500)
        words = [str(RTES), "journal", "tail", "--follow", "--blocks", blocks]
        with (
            out.open("w") as file,
            subprocess.Popen([*words, "--profile", str(mesh.config_file)], stdout=file) as tail,
        ):
            try:
                wait_for(lambda: client.buy("AAPL", 1, 58_500) is not None and first_seqs() != [])
                for _ in range(100):
                    client.buy("AAPL", 1, 58_500)
                last_seq = answer(mesh, "verify")["last_seq"]
                wait_for(lambda: sum(first_seqs()[-1]) > last_seq)
            finally:
                tail.terminate()
        seqs = first_seqs()
    ends = [first + count for first, count in seqs]
    assert [first for first, _ in seqs[1:]] == ends[:-1]


def test_there_is_nothing_to_check_before_the_first_start(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, ())
    with mesh:
        done = run(mesh, "verify")
    assert done.returncode == 1
    assert run(mesh, "tail", "--blocks", "-1").returncode == 2
    assert "holds no journal" in done.stderr
