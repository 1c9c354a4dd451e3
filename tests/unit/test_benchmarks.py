"""The parts of the benchmarks that decide what a figure says."""

import os
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rtes.benchmarks import cores, instructions
from rtes.benchmarks.figure import draw
from rtes.benchmarks.flows import SHAPES, Flow
from rtes.benchmarks.idle import cpu_s, memory_mb, program_of
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


def test_this_process_is_seen_as_it_is() -> None:
    before = cpu_s(os.getpid())
    assert sum(i * i for i in range(1_000_000)) > 0
    assert before <= cpu_s(os.getpid())
    memory = memory_mb(os.getpid())
    assert 0 < memory["pss_mb"] <= memory["rss_mb"]
    with pytest.raises(OSError, match="No such file"):
        program_of(2**22 + 1)


def test_the_figure_has_a_bar_for_every_process_and_core() -> None:
    cpu = {"gateway": 2.0, "archive": 0.5}
    cell = {"target": "never", "clients": 1, "orders_per_frame": 16, "cpu_us_per_order": cpu}
    mesh = {"durability": "never", "compiled": True, "cells": [cell, cell | {"target": "null"}]}
    cores = {"cells": [{"orders_per_frame": 16, "cpu_us_per_order": {"gateway": 0.5}}]}
    drawn = ElementTree.fromstring(draw(mesh, cores))
    bars = [float(r.get("width", "")) for r in drawn.iter() if r.get("height") == "16"]
    assert bars == [240, 60, 60]
    assert "2.00 us, its core 0.50" in [t.text for t in drawn.iter()]


def test_instructions_are_counted_where_that_is_possible() -> None:
    if why := instructions.missing():
        done = CliRunner().invoke(cores.main, ["--instructions"])
        assert (done.exit_code, done.output) == (1, f"Error: {why}\n")
    else:
        assert 1_000 < instructions.count("risk", 16, 640, seed=1) < 50_000
