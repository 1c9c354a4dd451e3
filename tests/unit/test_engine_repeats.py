"""The same cl_ord_id again: answered as before and not executed, or refused."""

import pytest
from rtes.common.enums import ExecType, PartyAction
from rtes.common.messages import OrderCancelReject
from rtes.common.records import D_DEFAULTS, Command
from rtes.common.refusals import Code
from rtes.services.matcher.outcomes import OUTCOMES_KEPT

from tests.unit.enginedesk import ANN, BOB, Desk

HALT = int(PartyAction.HALT_TRADING)
SUSPEND = int(PartyAction.SUSPEND)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def order(cl_ord_id: int, qty: int = 5, account: int = ANN) -> Command:
    return ("D", account, 1, cl_ord_id, "AAPL", "1", qty, "2", 99, "1", 0, "", 0, 0, 0, 0, 1)


PLAIN = ("D", ANN, 1, 10, "AAPL", "2", 5, "2", 101)


@pytest.mark.parametrize(
    "request_",
    [
        order(10),
        PLAIN,
        (*PLAIN[:7], "K", 0),
        (*PLAIN, *D_DEFAULTS),
        ("F", ANN, 1, 10, "AAPL", 5),
        ("F", ANN, 1, 10, "AAPL", 77),
        ("G", ANN, 1, 10, "AAPL", 5, 9, 98, 0),
        ("q", ANN, 1, 10, "7", "", ""),
        ("H", ANN, 1, 10, "AAPL", 5),
        ("AF", ANN, 1, 10, ""),
        ("DH", ANN, 1, 10, HALT, "ANN", "", 0, ANN),
        ("DH", ANN, 1, 10, SUSPEND, "BOB", "", 0, BOB),
    ],
)
def test_a_repeat_gets_the_answer_again_and_is_not_executed(desk: Desk, request_: Command) -> None:
    desk.send(order(5))
    desk.send(request_)
    first = desk.told[ANN]
    before = desk.engine.digest()
    desk.send((*request_[:2], 999, *request_[3:]))  # received later, by another gateway
    (again,) = desk.told[ANN]
    assert again in first
    if request_[0] != "H":
        assert again.cl_ord_id == 10  # the answer names the request
    assert desk.chunks[0][1:4] == (desk.engine.participants[ANN].next_seq_num, 0, 1)
    assert desk.engine.digest() == before
    assert desk.notices == []


def test_a_repeat_is_the_same_bytes(desk: Desk) -> None:
    desk.send(order(10))
    first = desk.chunks[0][4]
    desk.send(order(10))
    assert desk.chunks[0][4] == first


def test_a_repeat_of_a_refused_order_is_refused_again(desk: Desk) -> None:
    desk.send(order(10), (0, int(Code.CREDIT), 10, 11))
    first = desk.chunks[0][4]
    refused = desk.only(ANN)
    assert (refused.reject_code, refused.limit, refused.value) == (Code.CREDIT, 10, 11)
    desk.send(order(10))  # risk would approve it now
    assert desk.chunks[0][4] == first
    assert desk.open(ANN) == []


def test_another_request_under_a_used_id_is_refused(desk: Desk) -> None:
    desk.send(order(10))
    desk.send(order(10, qty=6))
    report = desk.only(ANN)
    assert (report.exec_type, report.reject_code) == (ExecType.REJECTED, Code.ID_REUSED)
    desk.send(("F", ANN, 0, 11, "AAPL", 10))
    desk.send(("H", ANN, 0, 11, "AAPL", 10))  # the same fields, another question
    report = desk.only(ANN)
    assert isinstance(report, OrderCancelReject)
    assert report.reject_code == Code.ID_REUSED


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize(
    ("request_", "at", "other"),
    [
        *((PLAIN, at, other) for at, other in enumerate(("MSFT", "1", 6, "4", 102), start=4)),
        ((*PLAIN[:7], "K", 0), 7, "2"),
        ((*PLAIN, *D_DEFAULTS), 9, "1"),
        (("F", ANN, 1, 10, "AAPL", 5), 4, "MSFT"),
        (("F", ANN, 1, 10, "AAPL", 5), 5, 4),
    ],
)
def test_no_field_may_differ(
    desk: Desk, request_: Command, at: int, other: object, block: int
) -> None:
    """In the block that holds the first one, and in a later one."""
    desk.send(order(5))
    desk.send_all([request_, (*request_[:at], other, *request_[at + 1 :])], block)
    assert desk.last(ANN).reject_code == Code.ID_REUSED


@pytest.mark.parametrize("block", [1, 2])
def test_what_became_of_an_order_is_not_taken_for_its_request(desk: Desk, block: int) -> None:
    """Market to limit: what is left of it rests as a limit order, and was no request for one."""
    desk.buy(BOB, 3, 101)
    request = (*PLAIN[:7], "K", 0)
    desk.send_all([request, (*PLAIN[:7], "2", 101)], block)
    assert desk.last(ANN).reject_code == Code.ID_REUSED
    desk.send(request)
    assert desk.only(ANN).exec_type is ExecType.NEW


def test_an_answer_told_again_is_not_of_the_block_that_tells_it(desk: Desk) -> None:
    first, second = PLAIN, (*PLAIN[:3], 20, *PLAIN[4:])
    desk.send(first)
    desk.send_all([first, second, first, second, order(15)], 5)
    numbered = [(r.exec_type, r.cl_ord_id, r.reject_code) for r in desk.told[ANN]]
    new, rejected = ExecType.NEW, ExecType.REJECTED
    assert numbered == [(new, 10, 0), (new, 20, 0), (new, 10, 0), (new, 20, 0),
                        (rejected, 15, Code.OUT_OF_ORDER)]  # fmt: skip
    desk.send_all([first, second], 1)
    assert desk.only(ANN).cl_ord_id == 20
    assert [outcome[0] for outcome in desk.engine.participants[ANN].outcomes] == [10, 20]


def test_the_end_of_an_order_is_not_taken_for_its_request(desk: Desk) -> None:
    desk.send_all([PLAIN, ("q", ANN, 1, 11, "7", "", ""), PLAIN], 3)
    assert desk.types(ANN) == [ExecType.NEW, ExecType.CANCELED, ExecType.NEW]


def test_a_skipped_id_is_out_of_order_and_a_forgotten_one_too_old(desk: Desk) -> None:
    desk.send(order(10))
    desk.send(order(20))
    for skipped in (5, 15):
        desk.send(order(skipped))
        report = desk.only(ANN)
        assert (report.reject_code, report.limit, report.value) == (
            Code.OUT_OF_ORDER, 20, skipped,
        )  # fmt: skip
    for cl_ord_id in range(21, 21 + OUTCOMES_KEPT):
        desk.send(order(cl_ord_id))
    desk.send(order(20))
    assert desk.only(ANN).reject_code == Code.ID_TOO_OLD
    desk.send(order(21))
    assert desk.only(ANN).exec_type is ExecType.NEW
    assert len(desk.open(ANN)) == 2 + OUTCOMES_KEPT


def test_what_an_older_session_sent_is_as_if_it_had_never_been_sent(desk: Desk) -> None:
    order = desk.buy(ANN, 5, 100)
    before = desk.engine.digest()
    command = ("F", ANN, 0, 99, "AAPL", order)
    desk.send(command, (0, int(Code.REPLACED_SESSION), 0, ANN))
    assert desk.told == {}
    assert desk.engine.digest() == before


def test_ids_of_accounts_are_their_own(desk: Desk) -> None:
    """Ancestor fault 17: order ids collided across clients."""
    order_ids = set()
    for account in (ANN, BOB):
        desk.send(order(10, account=account))
        assert desk.only(account).exec_type is ExecType.NEW
        order_ids.add(desk.only(account).order_id)
    assert len(order_ids) == 2
    desk.send(("F", ANN, 0, 11, "AAPL", 10))
    assert (desk.open(ANN), desk.open(BOB)) == ([], [10])
