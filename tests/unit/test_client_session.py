"""The sans-io session against a stand-in of the exchange that speaks bytes: numbers, gaps, repeats,
reconnects. There are no sockets here and no clock."""

import pytest
from rtes.client.errors import NotConnected
from rtes.client.session import CREDIT, GAP_NS, REPLACED, RETRY_NS, Session
from rtes.common import messages as m
from rtes.common.enums import (
    CxlRejResponseTo,
    ExecType,
    MassCancelType,
    OrdStatus,
    PartyAction,
)
from rtes.common.refusals import Code

from tests.unit.clientdesk import (
    T0,
    S,
    alone,
    decode_batch,
    new,
    open_session,
    order,
    refused,
    reply,
    sent,
    tell,
    trade,
)

# ---------------------------------------------------------------- logon


def test_ids_continue_above_the_last_the_exchange_saw() -> None:
    session = open_session(last=7, last_id=41)
    assert [session.next_id(), session.next_id()] == [42, 43]


def test_ids_begin_above_the_last_of_any_shard() -> None:
    session = Session("DEMO1")
    session.logon(T0)
    tell(session, reply(last_id=7, shards=2))
    assert (session.logged_on, session.silent) == (False, [1])
    tell(session, reply(last_id=9, shard=1, shards=2))
    assert session.logged_on
    assert session.next_id() == 10


def test_a_session_that_knows_its_ids_goes_on_with_the_shard_that_answers() -> None:
    session = Session("DEMO1")
    session.logon(T0)
    tell(session, reply(shards=2), reply(shard=1, shards=2))
    session.lost(T0 + S)
    assert not session.logged_on
    tell(session, reply(shard=1, shards=2))
    assert session.logged_on


def test_a_new_process_follows_from_here_on_and_asks_for_nothing_old() -> None:
    session = open_session(last=7)
    assert not session.outbox
    assert [r.appl_seq_num for r in tell(session, new(8, 1))] == [8]


def test_logon_is_repeated_until_it_is_answered() -> None:
    session = Session("DEMO1", heart_bt_int=17)
    session.logon(T0)
    session.tick(T0 + RETRY_NS - 1)
    assert [x.heart_bt_int for x in sent(session)] == [17]
    session.tick(T0 + RETRY_NS)
    assert [type(x) for x in sent(session)] == [m.Logon]


def test_requests_wait_for_the_session() -> None:
    session = Session("DEMO1")
    session.logon(T0)
    session.outbox.clear()
    session.send([order(1)], T0)
    session.send([m.SecurityListRequest("q")], T0)
    assert not session.outbox
    tell(session, reply())
    assert sent(session) == [m.SecurityListRequest("q"), order(1)]


def test_a_refused_logon_is_remembered() -> None:
    session = Session("DEMO1")
    session.logon(T0)
    alone(session, refused("A", 0, Code.NOT_AUTHORIZED))
    assert session.refused is not None
    assert session.refused.reject_code == Code.NOT_AUTHORIZED


# ---------------------------------------------------------------- numbers


def test_reports_are_applied_once_and_in_order() -> None:
    session = open_session()
    session.send([order(1)], T0)
    assert len(tell(session, new(1, 1), trade(2, 1, 4, 4))) == 2
    assert tell(session, new(1, 1), trade(2, 1, 4, 4)) == []
    assert session.account.orders[1].cum == 4
    assert session.account.positions["AAPL"].qty == 4


def test_a_gap_is_asked_for_and_what_came_early_waits() -> None:
    session = open_session()
    assert tell(session, trade(3, 1, 4, 10)) == []
    assert sent(session) == [m.ResendRequest(1)]
    found = tell(session, new(1, 1), trade(2, 1, 6, 6))
    assert [r.appl_seq_num for r in found] == [1, 2, 3]
    assert session.account.positions["AAPL"].qty == 10


def test_a_gap_is_asked_for_again_but_not_at_every_report() -> None:
    session = open_session()
    tell(session, new(2, 1))
    tell(session, new(3, 2), now_ns=T0 + 1)
    assert sent(session) == [m.ResendRequest(1)]
    session.tick(T0 + GAP_NS)
    assert sent(session) == [m.ResendRequest(1)]


def test_a_lost_tail_is_known_from_the_logon_and_asked_for_until_it_came() -> None:
    session = open_session(last=5)
    session.logon(T0 + S)
    tell(session, reply(last=8), now_ns=T0 + S)
    assert m.ResendRequest(6) in sent(session)
    session.tick(T0 + S + GAP_NS)
    assert sent(session) == [m.ResendRequest(6)]
    tell(session, new(6, 1), new(7, 2), new(8, 3), now_ns=T0 + S + GAP_NS)
    session.tick(T0 + S + 3 * GAP_NS)
    assert not session.outbox


def test_each_matcher_shard_numbers_for_itself() -> None:
    session = open_session()
    tell(session, reply(last=50, shard=1))
    assert len(tell(session, new(1, 1), new(51, 2, shard=1))) == 2
    assert tell(session, new(53, 3, shard=1)) == []
    assert sent(session) == [m.ResendRequest(52, 1)]


def test_a_request_to_all_shards_is_answered_when_all_have() -> None:
    session = open_session()
    tell(session, reply(shard=1))
    session.send([m.OrderMassCancelRequest(1, MassCancelType.ALL)], T0)
    for shard in (0, 1):
        assert 1 in session.unanswered
        tell(session, m.OrderMassCancelReport(shard, 1, 1, MassCancelType.ALL, 3, T0))
    assert not session.unanswered


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x91\xa1Z", b"\x90\x00", b"\xdc", b"\xdd\x00"])
def test_what_cannot_be_read_is_counted(frame: bytes) -> None:
    session = open_session()
    assert session.receive(frame, T0) == []
    assert session.frames_bad == 1
    assert len(tell(session, new(1, 1))) == 1


def test_an_empty_batch_is_nothing() -> None:
    session = open_session()
    assert session.receive(m.encode([]), T0) == []
    assert session.frames_bad == 0


# ---------------------------------------------------------------- reconnects


def test_the_unanswered_is_sent_again_in_order_after_a_reconnect() -> None:
    session = open_session()
    session.send([order(1), order(2)], T0)
    session.send([order(3)], T0)
    tell(session, new(1, 1))
    session.outbox.clear()
    session.logon(T0 + S)
    tell(session, reply(last=2), now_ns=T0 + S)
    assert sent(session)[1:] == [m.ResendRequest(2), order(2), order(3)]
    tell(session, new(2, 2), new(3, 3))
    assert not session.unanswered


def test_a_repeated_answer_settles_a_request_but_counts_once() -> None:
    session = open_session()
    session.send([order(1)], T0)
    tell(session, new(1, 1), trade(2, 1, 10, 10))
    session.send([order(2)], T0)
    assert tell(session, new(1, 1)) == []
    assert alone(session, refused("D", 1, Code.BUSY)) == []  # of a copy that came later
    assert list(session.unanswered) == [2]
    assert session.account.orders[1].status is OrdStatus.FILLED


def test_a_gateway_that_forgot_us_is_logged_on_to_again() -> None:
    session = open_session()
    session.send([order(1), order(2)], T0)
    session.outbox.clear()
    assert alone(session, refused("D", 1, Code.NOT_LOGGED_ON)) == []
    assert alone(session, refused("D", 2, Code.NOT_LOGGED_ON)) == []
    assert [type(x) for x in sent(session)] == [m.Logon]
    session.send([order(3)], T0)
    assert not session.outbox
    tell(session, reply())
    assert sent(session) == [order(1), order(2), order(3)]


def test_silence_brings_a_logon_not_a_flood() -> None:
    """What the gateway still holds must not be counted against our credit twice."""
    session = open_session()
    session.send([order(1)], T0)
    session.outbox.clear()
    session.tick(T0 + RETRY_NS)
    session.tick(T0 + RETRY_NS + 1)
    assert [type(x) for x in sent(session)] == [m.Logon]
    tell(session, new(1, 1), reply(last=1), now_ns=T0 + 2 * S)
    assert not session.outbox


def test_a_full_exchange_is_the_answer_only_of_what_was_sent_once() -> None:
    session = open_session()
    session.send([order(1)], T0)
    assert len(alone(session, refused("D", 1, Code.BUSY))) == 1
    assert not session.unanswered
    assert not session.account.orders
    session.send([order(2)], T0)
    session.logon(T0)
    tell(session, reply())
    session.outbox.clear()
    assert alone(session, refused("D", 2, Code.BUSY)) == []
    assert list(session.unanswered) == [2]
    session.tick(T0 + RETRY_NS)
    tell(session, reply(), now_ns=T0 + RETRY_NS)
    assert sent(session)[1:] == [order(2)]


def test_a_gateway_that_leaves_is_followed_by_a_logon_at_its_deadline() -> None:
    session = open_session()
    alone(session, m.GoAway("", 500))
    session.send([order(1)], T0)
    assert not session.outbox
    session.tick(T0 + S // 2)
    assert [type(x) for x in sent(session)] == [m.Logon]


def test_a_lost_connection_brings_a_logon_at_once() -> None:
    session = open_session()
    session.send([order(1)], T0)
    session.lost(T0)
    assert [type(x) for x in sent(session)] == [m.Logon]
    alone(session, m.Logout(REPLACED))
    session.lost(T0)
    assert not session.outbox


def test_a_newer_logon_ends_the_session_for_good() -> None:
    session = open_session()
    alone(session, m.Logout(REPLACED))
    session.tick(T0 + 100 * S)
    assert not session.outbox
    with pytest.raises(NotConnected, match="newer logon"):
        session.send([order(1)], T0)


def test_after_a_logout_for_silence_it_logs_on_again() -> None:
    session = open_session()
    alone(session, m.Logout("nothing heard for two intervals"), now_ns=T0 + 99 * S)
    session.tick(T0 + 99 * S)
    assert [type(x) for x in sent(session)] == [m.Logon]


def test_an_account_that_lost_its_rights_is_not_tried_again() -> None:
    session = open_session()
    session.logon(T0)
    alone(session, refused("A", 0, Code.NOT_AUTHORIZED))
    with pytest.raises(NotConnected, match="may not do that"):
        session.check()


# ---------------------------------------------------------------- requests


def test_an_unreadable_request_is_found_when_the_exchange_says_so() -> None:
    session = open_session()
    session.send([order(1), order(2, qty=10**13), order(3)], T0)
    alone(session, m.Reject(Code.INVALID_VALUE, "D", "order_qty"))
    assert list(session.unanswered) == [1, 3]
    assert list(session.account.orders) == [1, 3]


def test_a_refused_question_is_forgotten() -> None:
    session = open_session()
    session.send([m.RequestForPositions("7", "DEMO2"), m.SecurityListRequest("8")], T0)
    assert len(alone(session, refused("AN", 0, Code.NOT_AUTHORIZED))) == 1
    session.logon(T0)
    tell(session, reply())
    assert sent(session)[-1] == m.SecurityListRequest("8")


def test_long_lists_leave_as_frames_the_exchange_takes() -> None:
    session = open_session()
    session.send([order(i + 1) for i in range(600)], T0)
    sizes = [len(decode_batch(frame)) for frame in session.outbox]
    assert sizes == [256, 256, 88]
    assert max(len(frame) for frame in session.outbox) <= m.FRAME_BYTES_MAX
    assert session.room == CREDIT - 600


def test_a_status_of_an_unknown_order_changes_nothing() -> None:
    session = open_session()
    session.send([m.OrderStatusRequest(1, "AAPL", 77)], T0)
    unknown = new(
        1, 77, exec_type=ExecType.ORDER_STATUS, ord_status=OrdStatus.REJECTED, side="",
        order_id=0, reject_code=Code.UNKNOWN_ORDER,
    )  # fmt: skip
    assert len(tell(session, unknown)) == 1
    assert not session.unanswered
    assert not session.account.orders


def test_a_refused_cancel_leaves_the_order_and_says_why() -> None:
    session = open_session()
    session.send([order(1)], T0)
    tell(session, new(1, 1))
    session.send([m.OrderCancelRequest(2, "AAPL", 1)], T0)
    response = CxlRejResponseTo.CANCEL
    code = Code.PRICE_BAND
    tell(session, m.OrderCancelReject(0, 2, 2, 1, 1, OrdStatus.NEW, response, 99, code, 5, 6, T0))
    assert not session.unanswered
    assert "price 6 is beyond the band edge 5" in session.account.orders[1].refusal


def test_a_kill_switch_is_answered() -> None:
    session = open_session()
    action = PartyAction.SUSPEND
    session.send([m.PartyActionRequest(1, action, "DEMO2")], T0)
    tell(session, m.PartyActionReport(0, 1, 1, action, "DEMO2", "", 0, 0, T0))
    assert not session.unanswered


# ---------------------------------------------------------------- time


def test_heartbeats_when_nothing_else_is_sent() -> None:
    session = open_session()
    session.tick(T0 + 29 * S)
    assert not session.outbox
    session.tick(T0 + 30 * S)
    session.tick(T0 + 30 * S + 1)
    assert sent(session) == [m.Heartbeat()]


def test_a_test_request_is_answered() -> None:
    session = open_session()
    alone(session, m.TestRequest("alive"))
    assert sent(session) == [m.Heartbeat("alive")]


def test_an_exchange_that_says_nothing_for_two_intervals_is_logged_on_to() -> None:
    session = open_session()
    session.tick(T0 + 61 * S)
    assert [type(x) for x in sent(session)] == [m.Logon]
