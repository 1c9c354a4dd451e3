"""LOBSTER rows become the right orders, and what is told is counted and digested."""

import gzip
import itertools
from pathlib import Path

import msgspec
import pytest
from rtes.client import lobster
from rtes.client.lobster import Action, RowType, Skip, Translator
from rtes.client.outcomes import Outcomes
from rtes.client.replay import ReplayError, rows
from rtes.common.enums import ExecType, OrdStatus, OrdType, Side, TimeInForce
from rtes.common.messages import (
    BusinessMessageReject,
    ExecutionReport,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
)
from rtes.common.refusals import Code


def translator(tick: str = "0.01", lot: str = "1") -> Translator:
    return Translator(
        "AAPL", tick, lot, resting_ids=itertools.count(100), taking_ids=itertools.count(500)
    )


def translated(*lines: str, tick: str = "0.01", lot: str = "1") -> list[Action | None]:
    made = translator(tick, lot)
    return [made.translate(lobster.parse(line)) for line in lines]


def messages(*lines: str) -> list[object]:
    return [action.message if action else None for action in translated(*lines)]


def limit(cl_ord_id: int, side: Side, qty: int, price: int, tif: TimeInForce) -> NewOrderSingle:
    return NewOrderSingle(cl_ord_id, "AAPL", side, qty, OrdType.LIMIT, price, tif)


NEW = "34200.004241176,1,16113575,18,5853300,1"


def test_a_row_is_read_exactly() -> None:
    row = lobster.parse(NEW + "\n")
    assert row == (34_200_004_241_176, RowType.NEW, 16_113_575, 18, 5_853_300, 1)
    assert lobster.parse("34200,3,1,1,1,-1").time_ns == 34_200 * 10**9
    assert lobster.parse("34200.5,3,1,1,1,-1").time_ns == 34_200_500_000_000


@pytest.mark.parametrize(
    ("line", "why"),
    [("", "columns"), ("1,2,3", "columns"), ("1,1,1,1,1,0", "direction"), ("1,9,1,1,1,1", "9"),
     ("x,1,1,1,1,1", "x"), ("1,1,1,1.5,1,1", "1.5")],
)  # fmt: skip
def test_a_bad_row_is_refused(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        lobster.parse(line)


@pytest.mark.parametrize(
    "content", [gzip.compress(NEW.encode()), b"7z\xbc\xaf\x27\x1c\xff\xfe"], ids=["gzip", "7z"]
)
def test_a_file_that_is_not_text_is_refused_by_its_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "message.csv.gz"
    file.write_bytes(content)
    with pytest.raises(ReplayError, match=r"message.csv.gz:1: "):
        list(rows(file, lambda _size: None))


def test_a_new_order_rests() -> None:
    assert messages(NEW, "2,1,7,5,5860000,-1") == [
        limit(100, Side.BUY, 18, 58_533, TimeInForce.GTC),
        limit(101, Side.SELL, 5, 58_600, TimeInForce.GTC),
    ]


def test_partial_cancels_reduce_the_total_and_the_order_goes_by_the_last_id() -> None:
    assert messages(
        NEW,
        "2,2,16113575,8,5853300,1",
        "3,4,16113575,4,5853300,1",
        "4,2,16113575,3,5853300,1",
        "5,3,16113575,3,5853300,1",
        "6,3,16113575,3,5853300,1",
    ) == [
        limit(100, Side.BUY, 18, 58_533, TimeInForce.GTC),
        OrderCancelReplaceRequest(101, "AAPL", 100, 10, 58_533),
        limit(500, Side.SELL, 4, 58_533, TimeInForce.IOC),
        OrderCancelReplaceRequest(102, "AAPL", 101, 7, 58_533),  # 4 filled and 3 open
        OrderCancelRequest(103, "AAPL", 102),
        None,
    ]


def test_a_partial_cancel_of_all_that_is_left_is_a_cancel() -> None:
    assert messages(NEW, "2,2,16113575,18,5853300,1")[1] == OrderCancelRequest(101, "AAPL", 100)


def test_an_execution_comes_from_the_taking_account_and_ends_the_order() -> None:
    first, second, late = translated(NEW, "2,4,16113575,18,5853300,1", "3,3,16113575,18,5853300,1")
    assert first is not None
    assert second is not None
    assert (first.taking, second.taking) == (False, True)
    assert late is None


def test_what_cannot_be_sent_is_counted_by_reason() -> None:
    made = translator()
    for line in (
        "1,3,1,1,5853300,1",
        "1,4,1,1,5853300,1",
        "1,2,1,1,5853300,1",
        "1,5,0,1,5853350,1",
        "1,6,-1,1,5853300,1",
        "1,7,0,0,-1,-1",
        "1,1,9,1,5853350,1",
    ):
        assert made.translate(lobster.parse(line)) is None
    assert made.skipped == {
        Skip.UNSEEN: 3, Skip.HIDDEN: 1, Skip.CROSS: 1, Skip.HALT: 1, Skip.OFF_GRID: 1
    }  # fmt: skip


def test_prices_and_sizes_follow_the_instrument() -> None:
    action, off_tick, off_lot = translated(
        "1,1,1,200,5853500,1", "1,1,2,200,5853300,1", "1,1,3,150,5853500,1", tick="0.05", lot="100"
    )
    assert action is not None
    assert action.message == limit(100, Side.BUY, 2, 11_707, TimeInForce.GTC)
    assert off_tick is None
    assert off_lot is None
    fine = translated("1,1,1,2,5853300,1", tick="0.0005", lot="0.0001")[0]
    assert fine is not None
    assert fine.message == limit(100, Side.BUY, 20_000, 1_170_660, TimeInForce.GTC)


def report(**changes: object) -> ExecutionReport:
    base = ExecutionReport(
        0, 1, ExecType.NEW, OrdStatus.NEW, 100, 900, 50, "AAPL", Side.BUY, 18, 0, 10**18, 18, 58_533
    )
    return msgspec.structs.replace(base, **changes)


def told(first_id: int, *reports: ExecutionReport | BusinessMessageReject) -> Outcomes:
    outcomes = Outcomes(first_id)
    for one in reports:
        outcomes.tell(one)
    return outcomes


def test_the_digest_is_the_same_on_the_same_mesh_again() -> None:
    first = told(100, report(), report(exec_type=ExecType.TRADE, trd_match_id=5))
    again = told(
        300,
        report(cl_ord_id=300, order_id=1_900, exec_id=77, appl_seq_num=40, transact_time=1),
        report(cl_ord_id=300, order_id=1_900, exec_type=ExecType.TRADE, trd_match_id=6),
    )
    assert first.digest() == again.digest()


@pytest.mark.parametrize(
    "change",
    [{"price": 1}, {"leaves_qty": 1}, {"exec_type": ExecType.REPLACED}, {"cl_ord_id": 101}],
)
def test_the_digest_tells_outcomes_apart(change: dict[str, object]) -> None:
    assert told(100, report()).digest() != told(100, report(**change)).digest()


def test_the_digest_tells_orders_apart() -> None:
    one = told(100, report(), report(exec_id=51))
    two = told(100, report(), report(exec_id=51, order_id=901))
    assert one.digest() != two.digest()


def test_outcomes_are_counted() -> None:
    outcomes = Outcomes(100)
    outcomes.unanswered.update({100, 101, 102})
    for one in (
        report(cl_ord_id=99, exec_type=ExecType.TRADE, last_qty=7),  # of before the run
        report(exec_type=ExecType.TRADE, last_qty=10, cum_qty=10),
        report(exec_type=ExecType.EXPIRED, cum_qty=10, leaves_qty=0),
        BusinessMessageReject("D", 101, Code.BUSY, 1_000, 1_001),
        report(cl_ord_id=102, exec_type=ExecType.REJECTED, reject_code=Code.PRICE_BAND, limit=5,
               value=9),
    ):  # fmt: skip
        outcomes.tell(one)
    assert (outcomes.fills, outcomes.filled_qty) == (1, 10)
    assert (outcomes.short, outcomes.short_qty) == (1, 8)
    assert {r.code: r.count for r in outcomes.refused.values()} == {66: 1, 8: 1}
    assert outcomes.refused[Code.PRICE_BAND].text == "price 9 is beyond the band edge 5"
    assert not outcomes.unanswered
