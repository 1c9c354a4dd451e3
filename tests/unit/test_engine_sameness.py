"""Same commands, same day: whatever the blocks, the process, its hash seed. And nothing leaks."""

import gc
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from rtes.common.errors import OperatorError
from rtes.common.moves import decode_moves
from rtes.common.records import Command, decode_commands, decode_groups, decode_reports, encode
from rtes.common.refdata import Instrument
from rtes.common.refusals import Code
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.expiry import SLACK

ROOT = Path(__file__).resolve().parents[2]
START_NS = 1_700_000_000_000_000_000
INSTRUMENTS = [Instrument(symbol=s, reference_price=100) for s in ("AAPL", "MSFT")]
Rows = dict[int, list[Any]]  # by account


def flow(seed: int, count: int) -> list[Command]:
    """Orders of every kind, replaces and cancels of three accounts."""
    random = Random(seed)
    commands: list[Command] = []
    for cl_ord_id in range(1, count + 1):
        head = (random.randint(1, 3), 0, cl_ord_id, random.choice(("AAPL", "MSFT")))
        earlier = random.randint(max(1, cl_ord_id - 30), cl_ord_id)
        price, qty = random.randint(95, 105), random.randint(1, 20)
        match random.randint(0, 9):
            case 0:
                commands.append(("F", *head, earlier))
            case 1 | 2:
                commands.append(("G", *head, earlier, qty, price, 0))
            case _:
                kind = random.choice("22222134K")
                limit = price if kind in "24" else 0
                stop_px = random.randint(95, 105) if kind in "34" else 0
                tif, shown = random.choice("01"), random.choice((0, 0, 1))
                smp = (random.choice((0, 0, 7)), random.randint(1, 4))
                terms = (kind, limit, tif, stop_px, "", shown, 0, 0, *smp)
                commands.append(("D", *head, random.choice("12"), qty, *terms))
    return commands


def run(commands: Sequence[Command], per_block: int) -> tuple[bytes, Rows, Rows]:
    """The digest at the end, and everything told and moved by account."""
    engine = Engine(0, INSTRUMENTS)
    told: dict[int, list[Any]] = defaultdict(list)
    moved: dict[int, list[Any]] = defaultdict(list)
    for seq, command in enumerate(commands, 1):
        engine.apply(command, None, seq, START_NS + seq)
        if seq % per_block == 0 or seq == len(commands):
            for account, first, reports, _answered, data, moves in engine.take()[0]:
                assert first == len(told[account]) + 1
                told[account] += decode_reports(data)
                assert len(told[account]) == first - 1 + reports
                moved[account] += decode_moves(moves)
    return engine.digest(), told, moved


def test_blocks_make_no_difference_and_neither_does_the_wire() -> None:
    commands = flow(1, 2_000)
    expected = run(commands, 1)
    assert run(decode_commands(encode(commands)), 100) == expected
    assert run(commands, 2_000) == expected
    assert run(commands[:-1], 1)[0] != expected[0]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_comes_to_the_same(hash_seed: str) -> None:
    script = (
        "from tests.unit.test_engine_sameness import flow, run\n"
        "print(run(flow(2, 500), 7)[0].hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == run(flow(2, 500), 7)[0].hex()


def test_no_reference_cycles() -> None:
    """The services run with the collector off: what is done with must free itself."""
    commands = flow(3, 3_000)
    engine = Engine(0, INSTRUMENTS)
    gc.collect()
    gc.disable()
    try:
        for seq, command in enumerate(commands, 1):
            engine.apply(command, None, seq, START_NS + seq)
            engine.take()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_orders_that_are_gone_take_no_room() -> None:
    """Fault 5 of the ancestor: filled and refused orders leaked until all was refused."""
    engine = Engine(0, INSTRUMENTS)
    book = engine.books["AAPL"]
    cl_ord_id = 0
    for i in range(10 * SLACK):
        for kind, stop_px, tif, expires in (("2", 0, "6", START_NS * 2), ("3", 200, "1", 0)):
            price = 90 + i % 7 if kind == "2" else 0
            order = ("1", 5, kind, price, tif, stop_px, "", 0, 0, expires, 0, 1)
            cl_ord_id += 2
            engine.apply(("D", 1, 0, cl_ord_id - 1, "AAPL", *order), None, cl_ord_id, START_NS)
            engine.apply(("F", 1, 0, cl_ord_id, "AAPL", cl_ord_id - 1), None, cl_ord_id, START_NS)
        engine.take()
    assert not engine.open_orders()
    assert not engine.participants[1].orders
    assert not book.bids.levels
    assert not book.bids.ladder
    assert not book.buy_stops.waiting()
    assert len(engine._expiry._gtd) <= SLACK + 2


def test_a_verdict_may_come_as_it_was_decoded() -> None:
    """A compiled engine that insisted on a tuple stopped at the first order that risk refused."""
    order = ("D", 1, 0, 1, "AAPL", "1", 5, "2", 100, "1", 0, "", 0, 0, 0, 0, 1)
    group = encode([(0, 1, 0, 0, encode([order]), [(0, int(Code.CREDIT), 5, 9)])])
    ((_, _, _, _, (command,), (verdict,)),) = decode_groups(group)
    engine = Engine(0, INSTRUMENTS)
    engine.apply(command, verdict, 1, START_NS)
    (chunk,) = engine.take()[0]
    (report,) = decode_reports(chunk[4])
    assert (report[3], report[22:25]) == ("8", (int(Code.CREDIT), 5, 9))


def test_state_with_a_symbol_that_is_listed_no_more_is_refused_by_name() -> None:
    before, after = Engine(0, INSTRUMENTS), Engine(0, INSTRUMENTS[:1])
    with pytest.raises(OperatorError, match="MSFT has traded here"):
        after.restore(before.state())
