"""Every benchmark runs, with sizes too small to measure anything, and says what it promises."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from rtes.benchmarks.driver import Target, alone, drive
from rtes.benchmarks.mesh import exchange
from rtes.benchmarks.null_mesh import NullMesh

from tests.meshes import wait_for

pytestmark = pytest.mark.mesh
ROOT = Path(__file__).resolve().parents[2]


def bench(name: str, *arguments: str) -> dict[str, Any]:
    """What a benchmark prints with --json: that and nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", f"rtes.benchmarks.{name}", *arguments, "--json"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert {"python", "cpu", "cores", "compiled"} <= set(result["environment"])
    return result


def test_every_benchmark_is_here() -> None:
    found = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if "@click.command" in path.read_text()
    }
    here = Path(__file__).read_text()
    elsewhere = {
        "hostile",  # too slow for here
        "figure",  # draws what others measured; tests/unit/test_benchmarks.py
    }
    assert {name for name in found - elsewhere if f'bench("{name}"' not in here} == set()


def test_mesh() -> None:
    result = bench("mesh", "--quick", "--vs-null", "--seconds", "1", "--repetitions", "1")
    assert result["durability"] == "never"
    assert (result["clients"], result["orders_per_frame"]) == (4, 16)
    ratio = result["orders_per_s"] / result["null_orders_per_s"]
    assert result["throughput_ratio"] == pytest.approx(ratio, abs=0.001)
    assert 0 < result["p50_us"] <= result["p99_us"]
    assert 0 < result["null_p50_us"] <= result["null_p99_us"]
    own, null = result["latency"]
    assert (own["unanswered"], null["unanswered"]) == (0, 0)
    stages = [own[f"gateway_to_{stage}_p50_us"] for stage in ("risk", "matcher", "report")]
    assert [0, *stages, own["p50_us"]] == sorted([0, *stages, own["p50_us"]])


def test_null_mesh() -> None:
    result = bench("null_mesh", "--quick", "--seconds", "1", "--repetitions", "1")
    assert result["orders_per_s"] == result["null_orders_per_s"] > 0


def test_book() -> None:
    result = bench("book", "--messages", "2000", "--flow", "calm")
    assert result["worst_msgs_per_s"] > 0


def test_cores() -> None:
    result = bench("cores", "--requests", "1000", "--repetitions", "1")
    assert result["cpu_us_per_order"]["sum"] > 0


def test_scale() -> None:
    result = bench("scale", "--largest", "100", "--requests", "500", "--repetitions", "1")
    rows = {(row["varied"], row["size"]): row for row in result["rows"]}
    assert rows["open_orders", 1_000]["open_before"] == 1_000
    assert rows["sessions", 100]["sum"] > 0


def test_recovery() -> None:
    result = bench("recovery", "--commands", "5000", "--service", "matcher")
    assert result["tail"] >= 900
    rows = {row["from"]: row for row in result["rows"]}
    assert set(rows) == {"whole journal", "snapshot and tail", "torn tail"}
    assert all(row["ready_s"] > 0 for row in rows.values())


def test_market_data() -> None:
    result = bench("market_data", "--subscribers", "2", "--seconds", "1.5", "--rate", "200",
                   "--repetitions", "1")  # fmt: skip
    without, with_two = result["rows"]
    assert without["messages_per_s"] == 0 < without["p99_us"]
    assert with_two["least_per_s"] > 0


def test_idle() -> None:
    result = bench("idle", "--seconds", "1")
    rows = {row["process"]: row for row in result["processes"]}
    assert {"supervisord", "watchdog", "matcher", "gateway", "health", "control"} <= set(rows)
    assert all(0 < row["pss_mb"] <= row["rss_mb"] for row in rows.values())


def test_clients_of_one_process_keep_their_pace_while_another_exchange_stands_still() -> None:
    """What benchmarks.mesh does, which is too slow for here."""
    clients, per_client = 3, 100
    with ExitStack() as stack:
        loaded, other = (exchange(stack, "never") for _ in range(2))
        with alone(loaded, [loaded, other]):
            wait_for(lambda: stopped(other) == set(other.processes))
            results = drive(loaded, clients, 2, 1.0, 1, float(clients * per_client))
        wait_for(lambda: stopped(other) == set())
    counted = per_client // 2  # the first half second warms up
    assert [len(result["total_us"]) for result in results] == [counted] * clients
    assert [result["unanswered"] for result in results] == [0] * clients


def test_a_client_that_cannot_begin_leaves_no_other_behind(tmp_path: Path) -> None:
    null = NullMesh(tmp_path)  # nobody answers there, nor is asked
    keys = [str(null.key_file), str(tmp_path / "none.json")]
    with pytest.raises(SystemExit, match="nobody: a client could not begin"):
        drive(Target("nobody", null.endpoint, keys, {}, []), 2, 1, 1.0, 1)
    left = [p for p in psutil.Process().children() if "rtes.benchmarks.load" in p.cmdline()]
    assert left == []


def stopped(target: Target) -> set[str]:
    """Which of its services stand still."""
    states = {name: psutil.Process(p.pid).status() for name, p in target.processes.items()}
    return {name for name, state in states.items() if state == psutil.STATUS_STOPPED}


def test_soak() -> None:
    result = bench("soak", "--minutes", "0.05", "--rate", "100")
    assert result["orders"] > 0
    assert result["unanswered"] == 0
    assert {"matcher", "snapshotter"} <= {row["process"] for row in result["processes"]}


def test_drill() -> None:
    """One of its breaks, with everything it needs; a release runs them all."""
    (row,) = bench("drill", "--only", "a bit of an old segment flips")["rows"]
    assert row["health"].startswith("200 degraded (snapshotter: journal_whole: ")
    assert (row["alert"], row["state"]) == ("JournalDamaged", "firing")
    assert row["page_s"] < 10


def test_emergency() -> None:
    result = bench("emergency", "--repetitions", "1")
    for way in ("rtes_emergency", "sent"):
        assert result[way]["refused"] > 0
        assert result[way]["cancels"] > 20
        assert result[way]["cancels_refused"] == 0


def test_metrics() -> None:
    result = bench("metrics", "--requests", "2000", "--repetitions", "2")
    assert result["order_us"] > 0
    parts = [result[name] for name in ("histograms", "counters", "reports")]
    assert result["all"] == round(sum(parts), 4) > 0
    assert 0 < result["reports"] < 0.01
