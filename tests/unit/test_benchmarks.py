"""The parts of the benchmarks that decide what a figure says."""

import os
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rtes.benchmarks import cores, instructions
from rtes.benchmarks.driver import Target
from rtes.benchmarks.figure import draw
from rtes.benchmarks.flows import SHAPES, Flow
from rtes.benchmarks.idle import cpu_s, memory_mb, program_of
from rtes.benchmarks.mesh import CELL, NULL, compare, latency_plan
from rtes.benchmarks.mesh import summary as mesh_summary
from rtes.benchmarks.recovery import SNAPSHOT, WHOLE, summary, tear
from rtes.benchmarks.scale import cells
from rtes.benchmarks.soak import growth
from rtes.common.journal import Journal, segments


def test_growth_leaves_out_the_first_quarter() -> None:
    samples = [
        {"rss_mb": 90, "anonymous_mb": mb, "descriptors": 9, "threads": 5}
        for mb in (10, 50, 50, 50, 50)
    ]
    assert growth(samples, minutes=60)["growth_mb_per_hour"] == 0
    samples[-1] = {"rss_mb": 90, "anonymous_mb": 53, "descriptors": 12, "threads": 5}
    found = growth(samples, minutes=60)
    assert found["growth_mb_per_hour"] == 4  # 3 MB in three quarters of an hour
    assert (found["descriptors_start"], found["descriptors_end"]) == (9, 12)


def test_sizes_are_varied_one_at_a_time() -> None:
    found = cells(1_000)
    assert found["symbols", 1_000].open_orders == found["open_orders", 1_000].open_orders
    assert found["sessions", 1_000].accounts == 1_000  # who trades is known
    assert found["accounts", 1].sessions == 1
    assert found["accounts", 1_000].sessions == found["symbols", 10].sessions == 10
    assert ("open_orders", 10_000) not in found
    assert ("open_orders", 1_000) in cells(1)  # the base is always measured


def test_a_flow_is_a_function_of_its_seed_and_of_whom_it_is_for() -> None:
    one, same, other = (Flow(SHAPES["normal"], 500, seed, 25) for seed in (1, 1, 2))
    commands = one.commands(500)
    assert commands == same.commands(500) != other.commands(500)
    assert {command[1] for command in commands} == set(range(1, 26))
    assert {command[0] for command in commands} == {"D", "F", "G"}


def test_a_torn_tail_is_one_to_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, 65_536, None)
    assert list(journal.recover()) == []
    journal.append(1, 1, 1, b"whole")
    journal.close()
    tear(segments(tmp_path)[-1])
    with closing(Journal(tmp_path, 0, 65_536, None)) as again:
        assert [payload for _, payload in again.recover()] == [b"whole"]
        assert again.torn_bytes > 0


def test_only_what_was_measured_is_in_the_summary() -> None:
    rows = [
        {"service": "matcher", "from": WHOLE, "ready_s": 9.0},
        {"service": "risk", "from": SNAPSHOT, "ready_s": 1.0},
    ]
    found = summary(rows)
    assert found["matcher_s"] == 9.0
    assert "matcher_from_snapshot_s" not in found


def rates(target: str, *per_s: int) -> list[dict[str, Any]]:
    """Rows of benchmarks.mesh: the cells 1 x 1 and 4 x 16."""
    return [{"target": target, "clients": c, "orders_per_frame": f, "orders_per_s": rate}
            for (c, f), rate in zip(((1, 1), (4, 16)), per_s, strict=True)]  # fmt: skip


def test_ratios_are_to_the_same_cell_of_the_null_mesh_and_of_the_first() -> None:
    rows = rates("never", 200, 400) + rates("always", 150, 300) + rates(NULL, 800, 1_000)
    compare(rows, CELL, ("orders_per_s",))
    of_null = [row["orders_per_s_of_null"] for row in rows]
    of_first = [row["orders_per_s_of_first"] for row in rows]
    assert of_null == [0.25, 0.4, 0.188, 0.3, 1, 1]
    assert of_first == [1, 1, 0.75, 0.75, 4, 2.5]


@pytest.mark.parametrize("vs_null", [True, False])
def test_the_flat_object_has_all_keys_and_none_where_nothing_was_measured(vs_null: bool) -> None:
    names = ["never", "always", NULL] if vs_null else ["never", "always"]
    rows = [row for i, name in enumerate(names, 1) for row in rates(name, i, 100 * i)]
    latencies = [
        {"target": name, "load": load, "p50_us": 2.0 * i, "p99_us": 8.0 * i}
        for load in ("1,000/s", "10,000/s")
        for i, name in enumerate(names, 1)
    ]
    compare(rows, CELL, ("orders_per_s",))
    compare(latencies, ("load",), ("p50_us", "p99_us"))
    of_null = {
        "null_orders_per_s": 300, "throughput_ratio": 0.333, "null_p50_us": 6.0,
        "null_p99_us": 24.0, "p50_ratio": 0.333, "p99_ratio": 0.333,
    }  # fmt: skip
    assert mesh_summary(rows, latencies, "never") == {
        "orders_per_s": 100, "p50_us": 2.0, "p99_us": 8.0, "durability": "never", "clients": 4,
        "orders_per_frame": 16, **(of_null if vs_null else dict.fromkeys(of_null)),
    }  # fmt: skip


def test_the_null_mesh_has_the_loads_of_the_first_exchange() -> None:
    targets = [Target(name, "", [], {}, []) for name in ("never", "always", NULL)]
    rows = rates("never", 100, 400_000) + rates("always", 100, 300_000) + rates(NULL, 1, 10**6)
    plan = latency_plan(targets, rows, quick=False)
    found = [(target.name, load, per_s) for target, load, cell, per_s in plan if cell == (4, 16)]
    assert found[3:6] == [("never", "50%", 2e5), ("always", "50%", 1.5e5), (NULL, "50%", 2e5)]
    assert {load for _, load, _ in found} == {"50,000/s", "50%", "80%"}
    assert [p[3] for p in latency_plan(targets, rows, quick=True)] == [1_000.0] * 3


def test_this_process_is_seen_as_it_is() -> None:
    before = cpu_s(os.getpid())
    assert sum(i * i for i in range(1_000_000)) > 0
    assert before <= cpu_s(os.getpid())
    memory = memory_mb(os.getpid())
    assert 0 < memory["pss_mb"] <= memory["rss_mb"]
    with pytest.raises(OSError, match="No such file"):
        program_of(2**22 + 1)


def test_the_figure_has_a_bar_for_every_process_core_and_stage() -> None:
    cpu = {"gateway": 2.0, "archive": 0.5}
    cell = {"target": "never", "clients": 1, "orders_per_frame": 16, "cpu_us_per_order": cpu}
    stages = {f"gateway_to_{to}_p50_us": us for to, us in
              (("risk", 100.0), ("matcher", 150.0), ("report", 320.0))}  # fmt: skip
    latency = [{"target": "never", "load": "1,000/s", "p50_us": 480.0, **stages},
               {"target": "null mesh", "load": "1,000/s", "p50_us": 240.0}]  # fmt: skip
    mesh = {"durability": "never", "compiled": True, "cells": [cell, cell | {"target": "null"}],
            "latency": latency}  # fmt: skip
    cores = {"cells": [{"orders_per_frame": 16, "cpu_us_per_order": {"gateway": 0.5}}]}
    drawn = ElementTree.fromstring(draw(mesh, cores))
    bars = [float(r.get("width", "")) for r in drawn.iter() if r.get("height") == "16"]
    assert [width for width in bars if width != 16] == [  # the legend's
        240, 60, 60, *(100, 50, 170, 160), 240,
    ]  # fmt: skip
    told = [t.text for t in drawn.iter()]
    assert "2.00 us, its core 0.50" in told
    assert "0.48 ms; null mesh 0.24" in told


def test_instructions_are_counted_where_that_is_possible() -> None:
    if why := instructions.missing():
        done = CliRunner().invoke(cores.main, ["--instructions"])
        assert (done.exit_code, done.output) == (1, f"Error: {why}\n")
    else:
        assert 1_000 < instructions.count("risk", 16, 640, seed=1) < 50_000
