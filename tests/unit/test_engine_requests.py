"""Questions, sessions, the kill switch: who is told what, and who is not."""

from typing import Any

import pytest
from rtes.common.enums import (
    CancelOnDisconnect,
    ExecType,
    FlagAction,
    OrdStatus,
    PartyAction,
    Restatement,
)
from rtes.common.flags import NO_SELF_TRADES
from rtes.common.flagwire import FeatureFlagReport
from rtes.common.messages import (
    LogonReply,
    OrderMassCancelReport,
    OrderMassStatusReport,
    PartyActionReport,
)
from rtes.common.records import NOTICE_LOGON, NOTICE_PARTY
from rtes.common.refusals import Code

from tests.unit.enginedesk import ANN, BOB, NAMES, OPS, START_NS, Desk

SUSPEND, HALT, REINSTATE = map(int, PartyAction)


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---------------------------------------------------------------- mass cancel, questions


@pytest.mark.parametrize(
    ("symbol", "side", "canceled"),
    [("", "", 4), ("AAPL", "", 3), ("", "1", 3), ("AAPL", "2", 1), ("MSFT", "2", 0)],
)
def test_mass_cancel(desk: Desk, symbol: str, side: str, canceled: int) -> None:
    desk.buy(ANN, 1, 99)
    desk.sell(ANN, 1, 101)
    desk.buy(ANN, 1, ord_type="3", stop_px=105)
    desk.buy(ANN, 1, 99, symbol="MSFT")
    desk.buy(BOB, 1, 99)
    request = desk.ask("q", ANN, "1" if symbol else "7", symbol, side)
    assert desk.types(ANN) == [ExecType.CANCELED] * canceled
    report = desk.last(ANN)
    assert isinstance(report, OrderMassCancelReport)
    assert (report.cl_ord_id, report.total_affected_orders) == (request, canceled)
    for each in desk.told[ANN][:-1]:
        assert each.exec_restatement_reason == Restatement.MASS_CANCEL
    assert len(desk.open(ANN)) == 4 - canceled
    assert len(desk.open(BOB)) == 1


def test_status(desk: Desk) -> None:
    cl_ord_id = desk.buy(ANN, 9, 99, display_qty=2, tif="1")
    desk.sell(BOB, 1, 99)
    desk.ask("H", ANN, "AAPL", cl_ord_id)
    report = desk.only(ANN)
    assert (report.exec_type, report.ord_status) == (
        ExecType.ORDER_STATUS, OrdStatus.PARTIALLY_FILLED,
    )  # fmt: skip
    assert (report.leaves_qty, report.cum_qty, report.price, report.order_qty) == (8, 1, 99, 9)
    assert (report.ord_type, report.time_in_force, report.display_qty) == ("2", "1", 2)
    desk.ask("H", BOB, "AAPL", cl_ord_id)
    report = desk.only(BOB)
    assert (report.ord_status, report.reject_code) == (OrdStatus.REJECTED, Code.UNKNOWN_ORDER)


def test_mass_status(desk: Desk) -> None:
    mine = [desk.buy(ANN, 1, 99), desk.buy(ANN, 1, ord_type="3", stop_px=105)]
    desk.buy(ANN, 1, 98, symbol="MSFT")
    desk.buy(BOB, 1, 99)
    request = desk.ask("AF", ANN, "AAPL")
    *states, end = desk.told[ANN]
    assert [s.cl_ord_id for s in states] == mine
    assert isinstance(end, OrderMassStatusReport)
    assert (end.cl_ord_id, end.tot_num_reports) == (request, 2)


# ---------------------------------------------------------------- sessions


def test_logon_tells_where_the_account_is(desk: Desk) -> None:
    desk.send(("D", ANN, 1, 10, "AAPL", "1", 5, "2", 99))
    desk.send(("A", ANN, 0, 0, 2, 7, 1, 30, 0, 1))
    assert desk.only(ANN) == LogonReply(0, 1, 10, 30, 1, START_NS + 2, 1)
    assert desk.chunks[0][:4] == (ANN, 2, 0, 0)
    assert desk.notices == [(NOTICE_LOGON, ANN, 2, 7, 2)]


@pytest.mark.parametrize(
    ("setting", "left"),
    [
        (CancelOnDisconnect.NOTHING, 3),
        (CancelOnDisconnect.NOT_GTC_GTD, 2),
        (CancelOnDisconnect.EVERYTHING, 0),
    ],
)
def test_cancel_on_disconnect(desk: Desk, setting: CancelOnDisconnect, left: int) -> None:
    desk.send(("A", ANN, 0, 0, 2, 7, int(setting), 30, 9, 1))
    desk.send(("A", ANN, 0, 0, 1, 8, 2, 30, 8, 1))  # an older one that comes late
    assert desk.told == {}
    desk.buy(ANN, 1, 99)
    desk.buy(ANN, 1, 99, tif="1")
    desk.buy(ANN, 1, 99, tif="6", expire_time=2 * START_NS)
    for gateway, turn in ((1, 9), (2, 8)):
        desk.send(("XD", ANN, 0, 0, gateway, turn))  # of an earlier session
        assert desk.told == {}
    desk.send(("XD", ANN, 0, 0, 2, 9))
    reports = desk.told.get(ANN, [])
    assert len(reports) == 3 - left
    for report in reports:
        assert report.exec_restatement_reason == Restatement.CANCEL_ON_DISCONNECT
    assert len(desk.open(ANN)) == left
    desk.send(("XD", ANN, 0, 0, 2, 9))
    assert desk.told == {}


# ---------------------------------------------------------------- the kill switch


def halt(desk: Desk, action: int, account: str = "", symbol: str = "", session: int = 0) -> int:
    return desk.ask("DH", OPS, action, account, symbol, session, NAMES.get(account, 0))


def test_halting_cancels_and_tells_operator_owner_and_followers(desk: Desk) -> None:
    desk.buy(ANN, 1, 99)
    desk.buy(ANN, 1, ord_type="3", stop_px=105)
    desk.buy(BOB, 1, 99)
    request = halt(desk, HALT, "ANN")
    assert desk.types(ANN) == [ExecType.CANCELED] * 2
    assert BOB not in desk.told
    report = desk.only(OPS)
    assert isinstance(report, PartyActionReport)
    assert (report.cl_ord_id, report.total_affected_orders, report.reject_code) == (request, 2, 0)
    assert (report.account, report.symbol, report.party_action_type) == ("ANN", "", HALT)
    assert desk.notices == [(NOTICE_PARTY, HALT, ANN, "", 0)]


@pytest.mark.parametrize(
    ("switch", "code", "reached"),
    [
        (("ANN", ""), Code.ACCOUNT_SUSPENDED, {"ANN AAPL", "ANN MSFT"}),
        (("ANN", "AAPL"), Code.ACCOUNT_SUSPENDED, {"ANN AAPL"}),
        (("ANN", "", 1), Code.SESSION_SUSPENDED, {"ANN AAPL", "ANN MSFT"}),
        (("", "AAPL"), Code.INSTRUMENT_HALTED, {"ANN AAPL", "BOB AAPL"}),
        ((), Code.INSTRUMENT_HALTED, {"ANN AAPL", "ANN MSFT", "BOB AAPL", "BOB MSFT"}),
    ],
)
def test_what_risk_passed_before_the_switch_is_refused(
    desk: Desk, switch: tuple[str, str], code: Code, reached: set[str]
) -> None:
    """Risk follows the feed, so commands may still be on their way when the switch is set."""
    cases = [(n, a, s) for n, a in (("ANN", ANN), ("BOB", BOB)) for s in ("AAPL", "MSFT")]
    for action in (SUSPEND, REINSTATE):
        halt(desk, action, *switch)
        for name, account, symbol in cases:
            desk.buy(account, 1, 9, symbol=symbol)
            stopped = action == SUSPEND and f"{name} {symbol}" in reached
            assert desk.only(account).reject_code == (code if stopped else 0)


def test_suspended_accounts_cannot_replace_but_cancel(desk: Desk) -> None:
    resting = desk.buy(ANN, 1, 9)
    halt(desk, SUSPEND, "ANN")
    assert ANN not in desk.told
    desk.replace(ANN, resting, 2, 9)
    assert desk.only(ANN).reject_code == Code.ACCOUNT_SUSPENDED
    desk.cancel(ANN, resting)
    assert desk.types(ANN) == [ExecType.CANCELED]


def test_a_suspended_session_ends_with_the_next_logon(desk: Desk) -> None:
    halt(desk, SUSPEND, "ANN", session=1)
    desk.send(("A", ANN, 0, 0, 2, 8, 1, 30, 0, 1))
    desk.buy(ANN, 1, 9)
    assert desk.types(ANN) == [ExecType.NEW]


@pytest.mark.parametrize(
    ("switch", "code"),
    [
        (("NOBODY", ""), Code.NOT_AUTHORIZED),
        (("", "NONE"), Code.UNKNOWN_SYMBOL),
        (("ANN", "NONE"), Code.UNKNOWN_SYMBOL),
        (("", "", 1), Code.INVALID_FIELDS),
    ],
)
def test_a_switch_that_names_nothing_does_nothing(
    desk: Desk, switch: tuple[str, str], code: Code
) -> None:
    desk.buy(ANN, 1, 9)
    halt(desk, HALT, *switch)
    assert desk.only(OPS).reject_code == code
    assert desk.notices == []
    assert len(desk.open(ANN)) == 1


def test_risk_refuses_the_switch_of_a_participant(desk: Desk) -> None:
    desk.send(("DH", ANN, 0, 1, HALT, "", "", 0, 0), (0, int(Code.NOT_AUTHORIZED), 0, ANN))
    assert desk.only(ANN).reject_code == Code.NOT_AUTHORIZED
    desk.buy(BOB, 1, 9)
    assert desk.types(BOB) == [ExecType.NEW]


# ---------------------------------------------------------------- flags of the matcher


def flag(desk: Desk, action: FlagAction, symbol: str = "", name: str = NO_SELF_TRADES) -> Any:
    """Where it is on then, or the refusal's code."""
    desk.ask("UF", OPS, name, int(action), symbol)
    report = desk.only(OPS)
    assert isinstance(report, FeatureFlagReport)
    return report.reject_code or report.symbols


def test_a_flag_is_switched_for_a_symbol_or_for_all_and_told(desk: Desk) -> None:
    assert flag(desk, FlagAction.TELL) == ""
    assert flag(desk, FlagAction.ON, "MSFT") == "MSFT"
    assert flag(desk, FlagAction.ON) == "AAPL,MSFT"
    assert flag(desk, FlagAction.OFF, "MSFT") == "AAPL"
    assert flag(desk, FlagAction.TELL) == "AAPL"
    assert flag(desk, FlagAction.ON, "NONE") == Code.UNKNOWN_SYMBOL
    assert flag(desk, FlagAction.ON, name="other") == Code.INVALID_FIELDS
    assert flag(desk, FlagAction.TELL) == "AAPL"


def test_risk_refuses_a_flag_of_a_participant(desk: Desk) -> None:
    command = ("UF", ANN, 0, 1, NO_SELF_TRADES, int(FlagAction.ON), "")
    desk.send(command, (0, int(Code.NOT_AUTHORIZED), 0, ANN))
    assert desk.only(ANN).reject_code == Code.NOT_AUTHORIZED
    assert flag(desk, FlagAction.TELL) == ""


def test_no_self_trades_keeps_an_account_from_trading_with_itself(desk: Desk) -> None:
    flag(desk, FlagAction.ON, "AAPL")
    for symbol, met in (("AAPL", ExecType.CANCELED), ("MSFT", ExecType.TRADE)):
        desk.buy(ANN, 1, 99, symbol=symbol)
        desk.sell(ANN, 1, 99, symbol=symbol)
        assert met in desk.types(ANN)
    desk.sell(BOB, 1, 99)
    assert ExecType.TRADE in desk.types(BOB)  # others trade with it


def test_no_self_trades_is_for_orders_that_come_after_it_and_leaves_smp_ids_alone(
    desk: Desk,
) -> None:
    desk.buy(ANN, 1, 99)
    flag(desk, FlagAction.ON)
    desk.sell(ANN, 1, 99)
    assert ExecType.TRADE in desk.types(ANN)
    desk.buy(ANN, 1, 99, smp_id=7)
    desk.sell(ANN, 1, 99, smp_id=8)
    assert ExecType.TRADE in desk.types(ANN)
    desk.buy(ANN, 1, 99)
    flag(desk, FlagAction.OFF)
    desk.sell(ANN, 1, 99)
    assert ExecType.TRADE in desk.types(ANN)
