"""Every code of the catalogue, raised once through the real gateway, with its limit and value.

The mesh has tight limits: accounts of their own, a session credit of 100, 1,500 messages a
second, and an instrument without a reference price.
"""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from rtes.client import Client, Credentials, Rejected
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.enums import MassCancelType, OrdType, PartyAction, Side, TimeInForce
from rtes.common.messages import BATCH_MESSAGES_MAX, FRAME_BYTES_MAX, PROTOCOL_VERSION
from rtes.common.refdata import load_accounts
from rtes.common.refusals import CATALOGUE, Code, explain

from tests.meshes import Raw, connect, limit, settle

pytestmark = pytest.mark.mesh
PX = 58_574  # AAPL's reference price
CREDIT = 100
PER_S = 1_500
HEART_BT_INT_MAX = 60
NOT_RAISED = {
    Code.OK: "no refusal",
    Code.POISONED: "the matcher sets no order aside yet",
    Code.READ_ONLY: "tests/hostile/test_read_only.py",
    Code.BANNED: "tests/hostile/test_unreadable.py",
}
OTHERWISE = {
    Code.REPLACED_SESSION: "test_replaced_session",
    Code.BUSY: "test_busy",
    Code.THROTTLED: "test_throttled",
    Code.EXPIRE_TIME_PAST: "test_expire_time_past",
    Code.ID_TOO_OLD: "test_id_too_old",
    Code.TOO_LARGE: "test_too_large",
    Code.MALFORMED: "test_malformed",
    Code.INVALID_VALUE: "test_invalid_value",
    Code.NOT_LOGGED_ON: "test_not_logged_on",
    Code.VERSION: "test_version",
    Code.HEART_BT_INT: "test_heart_bt_int",
    Code.UNKNOWN_APPL_ID: "test_unknown_appl_id",
    Code.NOT_AUTHORIZED: "test_not_authorized",
    Code.INSTRUMENT_HALTED: "test_instrument_halted",
    Code.ACCOUNT_SUSPENDED: "test_account_suspended",
    Code.SESSION_SUSPENDED: "test_session_suspended",
}
Act = Callable[[Client], object]
Told = tuple[Code, int, int]


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    directory = tmp_path_factory.mktemp("tight")
    instruments = [
        {"symbol": "AAPL", "reference_price": PX},
        {"symbol": "NEW", "reference_price": 0},
        {"symbol": "HALT", "reference_price": PX},
        {"symbol": "GRID", "reference_price": 1_000, "min_price_increment": 50,
         "round_lot": 10, "min_trade_vol": 20},
    ]  # fmt: skip
    file = directory / "instruments.json"
    file.write_text(json.dumps({"instruments": instruments}))
    mesh = Mesh(
        directory,
        exchange={"instruments": str(file)},
        session={
            "credit": CREDIT, "messages_per_s_max": PER_S, "heart_bt_int_max": HEART_BT_INT_MAX,
        },
    )  # fmt: skip
    limit(mesh, "BOT01", notional_max=1_000_000)
    limit(mesh, "BOT02", orders_per_s_max=2)
    limit(mesh, "BOT03", open_orders_max=1)
    limit(mesh, "BOT04", position_max=5)
    limit(mesh, "BOT05", credit_max=10 * PX)
    with mesh:
        yield mesh


def account_id(mesh: Mesh, name: str) -> int:
    accounts = load_accounts(mesh.paths.accounts_file).accounts
    return next(a.id for a in accounts if a.name == name)


def refused(act: Callable[[], object]) -> Told:
    with pytest.raises(Rejected) as rejected:
        act()
    error = rejected.value
    assert isinstance(error.code, Code)
    assert explain(error.code, error.limit, error.value) in str(error)
    return error.code, error.limit, error.value


# ---------------------------------------------------------------- by orders


def two(client: Client, act: Act) -> object:
    client.buy("AAPL", 1, PX - 9)
    return act(client)


def out_of_order(client: Client) -> object:
    skipped, taken = client.next_id(), client.next_id()
    client.ask(m.OrderMassStatusRequest(taken))
    order = m.NewOrderSingle(skipped, "AAPL", Side.BUY, 1, OrdType.LIMIT, PX)
    return rejection(client, order)


def id_reused(client: Client) -> object:
    mine = client.buy("AAPL", 1, PX - 9)
    again = m.NewOrderSingle(mine.cl_ord_id, "AAPL", Side.BUY, 2, OrdType.LIMIT, PX - 9)
    return rejection(client, again)


def rejection(client: Client, message: m.Inbound) -> object:
    """Raise what the answer to message refuses."""
    for report in client.ask(message):
        code = getattr(report, "reject_code", 0)
        if code:
            assert isinstance(report, m.ExecutionReport | m.OrderCancelReject)
            raise Rejected(code, report.limit, report.value)
    return None


def rate(client: Client) -> object:
    while True:  # until three fall into one second
        client.cancel_all()
        for _ in range(3):
            client.buy("AAPL", 1, PX - 9)


def too_late(client: Client) -> object:
    order = client.buy("AAPL", 1, PX - 9)
    client.cancel(order.cl_ord_id, "AAPL")
    return client.cancel(order.cl_ord_id, "AAPL")


def no_liquidity(client: Client) -> object:
    order = client.buy("AAPL", 7)
    raise Rejected(order.reject_code, order.limit, order.value)


def crossing(client: Client) -> object:
    client.sell("AAPL", 1, PX + 5)
    return client.buy("AAPL", 1, PX + 6, post_only=True)


def filled_more(client: Client) -> object:
    client.buy("AAPL", 4, PX)
    order = client.sell("AAPL", 9, PX)
    return client.replace(order, qty=4)


def changed(client: Client) -> object:
    return client.replace(client.buy("AAPL", 1, PX - 9), stop_px=PX)


BY_ORDER: list[tuple[Code, str, Act, int, int]] = [
    (Code.UNKNOWN_SYMBOL, "DEMO1", lambda c: c.buy("NOPE", 1, PX), 0, 0),
    (Code.PRICE_INCREMENT, "DEMO1", lambda c: c.buy("GRID", 20, 1_010), 50, 1_010),
    (Code.ROUND_LOT, "DEMO1", lambda c: c.buy("GRID", 25, 1_000), 10, 25),
    (Code.INVALID_FIELDS, "DEMO1", lambda c: c.buy("AAPL", 1, PX, tif=TimeInForce.GTD), 0, 126),
    (Code.ORDER_SIZE, "DEMO1", lambda c: c.buy("AAPL", 100_001, PX), 100_000, 100_001),
    (Code.ORDER_SIZE, "DEMO1", lambda c: c.buy("GRID", 10, 1_000), 20, 10),
    (Code.NOTIONAL, "BOT01", lambda c: c.buy("AAPL", 18, PX), 1_000_000, 18 * PX),
    (Code.PRICE_BAND, "DEMO1", lambda c: c.buy("AAPL", 1, 64_432), 64_431, 64_432),
    (Code.PRICE_BAND, "DEMO1", lambda c: c.sell("AAPL", 1, 52_716), 52_717, 52_716),
    (Code.RATE, "BOT02", rate, 2, 3),
    (Code.OPEN_ORDERS, "BOT03", lambda c: two(c, lambda c: c.buy("AAPL", 1, PX - 9)), 1, 2),
    (Code.POSITION, "BOT04", lambda c: two(c, lambda c: c.buy("AAPL", 5, PX - 9)), 5, 6),
    (Code.POSITION, "BOT04", lambda c: c.sell("AAPL", 6, PX), 5, -6),
    (Code.CREDIT, "BOT05", lambda c: c.buy("AAPL", 11, PX), 10 * PX, 11 * PX),
    (Code.NO_REFERENCE_PRICE, "DEMO1", lambda c: c.buy("NEW", 1), 0, 0),
    (Code.POST_ONLY_WOULD_TRADE, "DEMO1", crossing, PX + 5, PX + 6),
    (Code.NO_LIQUIDITY, "DEMO1", no_liquidity, 0, 7),
    (Code.QTY_BELOW_FILLED, "DEMO1", filled_more, 4, 4),
    (Code.SIDE_OR_TYPE_CHANGED, "DEMO1", changed, 0, 99),
]
BY_ID: list[tuple[Code, Act, int, int]] = [  # limit and value relative to the last id
    (Code.UNKNOWN_ORDER, lambda c: c.cancel(10**6, "AAPL"), 1, 10**6),
    (Code.TOO_LATE, too_late, 3, 1),
    (Code.OUT_OF_ORDER, out_of_order, 2, 1),
    (Code.ID_REUSED, id_reused, 1, 1),
]


@pytest.mark.parametrize(("code", "account", "act", "limit_", "value"), BY_ORDER)
def test_by_order(
    tight: Mesh, code: Code, account: str, act: Act, limit_: int, value: int
) -> None:
    with connect(tight, account) as client:
        client.cancel_all()
        assert refused(lambda: act(client)) == (code, limit_, value)
        client.cancel_all()


@pytest.mark.parametrize(("code", "act", "limit_", "value"), BY_ID)
def test_by_id(tight: Mesh, code: Code, act: Act, limit_: int, value: int) -> None:
    with connect(tight, "DEMO2") as client:
        last = client.next_id()
        client.ask(m.OrderMassStatusRequest(last))
        base = 0 if value == 10**6 else last
        assert refused(lambda: act(client)) == (code, last + limit_, base + value)
        client.cancel_all()


def test_expire_time_past(tight: Mesh) -> None:
    """The limit is the time at which the gateway received the order."""
    with connect(tight, "DEMO1") as client:
        now_ns = time.time_ns()
        code, received_ns, value = refused(
            lambda: client.buy("AAPL", 1, PX, tif=TimeInForce.GTD, expire_time=5)
        )
        assert (code, value) == (Code.EXPIRE_TIME_PAST, 5)
        assert now_ns <= received_ns <= time.time_ns()


def test_id_too_old(tight: Mesh) -> None:
    """Outcomes of 1,024 requests are remembered, not more."""
    with connect(tight, "DEMO3") as client:
        first = client.buy("AAPL", 1, PX - 9, wait=False).cl_ord_id
        for _ in range(18):
            client.send([m.OrderMassStatusRequest(client.next_id(), "NEW") for _ in range(60)])
            settle(client)
        old = m.NewOrderSingle(first, "AAPL", Side.BUY, 1, OrdType.LIMIT, PX - 9)
        assert refused(lambda: rejection(client, old)) == (Code.ID_TOO_OLD, first + 1_080, first)
        client.cancel_all()


# ---------------------------------------------------------------- by operators


# Risk may learn of a switch a moment after the operator; the matcher knows at once.


def switch(ops: Client, action: PartyAction, *whom: object) -> None:
    ops.ask(m.PartyActionRequest(ops.next_id(), action, *whom))  # type: ignore[arg-type]


def test_instrument_halted(tight: Mesh) -> None:
    with connect(tight, "OPS") as ops, connect(tight, "DEMO1") as client:
        order = client.buy("HALT", 1, PX)
        switch(ops, PartyAction.SUSPEND, "", "HALT")
        assert refused(lambda: client.buy("HALT", 1, PX)) == (Code.INSTRUMENT_HALTED, 0, 0)
        client.cancel(order)
        switch(ops, PartyAction.REINSTATE, "", "HALT")


def test_account_suspended(tight: Mesh) -> None:
    with connect(tight, "OPS") as ops, connect(tight, "BOT06") as client:
        switch(ops, PartyAction.SUSPEND, "BOT06")
        code, limit_, value = refused(lambda: client.buy("AAPL", 1, PX - 9))
        assert (code, limit_) == (Code.ACCOUNT_SUSPENDED, 0)
        assert value in (0, account_id(tight, "BOT06"))


def test_session_suspended(tight: Mesh) -> None:
    """Only the present session: the next logon may trade."""
    with connect(tight, "OPS") as ops, connect(tight, "BOT07") as client:
        switch(ops, PartyAction.SUSPEND, "BOT07", "", 1)
        code, limit_, _ = refused(lambda: client.buy("AAPL", 1, PX - 9))
        assert (code, limit_) == (Code.SESSION_SUSPENDED, 0)
    with connect(tight, "BOT07") as client:
        client.buy("AAPL", 1, PX - 9)
        client.cancel_all()


def test_not_authorized(tight: Mesh) -> None:
    """Of a logon, of a question and of the kill switch."""
    others = Credentials.of("DEMO1", tight.paths)
    assert refused(lambda: connect(tight, "DEMO2", credentials=others))[0] is Code.NOT_AUTHORIZED
    raw = Raw(tight, "DEMO1")
    raw.logon()
    reply = raw.ask(m.RequestForPositions("q", "DEMO2"))
    assert isinstance(reply, m.BusinessMessageReject)
    assert (reply.reject_code, reply.ref_msg_type) == (Code.NOT_AUTHORIZED, "AN")
    raw.close()
    with connect(tight, "DEMO1") as client:
        request = m.PartyActionRequest(client.next_id(), PartyAction.SUSPEND, "DEMO2")
        (report,) = client.ask(request)
        assert isinstance(report, m.PartyActionReport)
        assert report.reject_code == Code.NOT_AUTHORIZED


# ---------------------------------------------------------------- by frames


@pytest.fixture
def raw(tight: Mesh) -> Iterator[Raw]:
    socket = Raw(tight, "DEMO4")
    yield socket
    socket.close()


def reject(reply: m.Outbound) -> tuple[int, int, int]:
    assert isinstance(reply, m.Reject | m.BusinessMessageReject)
    return reply.reject_code, reply.limit, reply.value


def test_malformed(raw: Raw) -> None:
    raw.logon()
    for frame in (b"", b"\xff", b"{}", m.encode(["no such type", 1]), m.encode(7)):
        assert reject(raw.ask(frame)) == (Code.MALFORMED, 0, 0)


def test_invalid_value(raw: Raw) -> None:
    raw.logon()
    reply = raw.ask(m.encode(["D", 1, "AAPL", "1", -5, "2", PX]))
    assert reject(reply) == (Code.INVALID_VALUE, 0, -5)
    assert isinstance(reply, m.Reject)
    assert (reply.ref_msg_type, reply.ref_field) == ("D", "order_qty")


def test_too_large(raw: Raw) -> None:
    raw.logon()
    size = FRAME_BYTES_MAX + 1
    assert reject(raw.ask(b"x" * size)) == (Code.TOO_LARGE, FRAME_BYTES_MAX, size)
    many: list[m.Inbound] = [m.TestRequest("x")] * (BATCH_MESSAGES_MAX + 1)
    assert reject(raw.ask(many)) == (Code.TOO_LARGE, BATCH_MESSAGES_MAX, len(many))


def test_not_logged_on(raw: Raw) -> None:
    order = m.NewOrderSingle(1, "AAPL", Side.BUY, 1, OrdType.LIMIT, PX)
    assert reject(raw.ask(order)) == (Code.NOT_LOGGED_ON, 0, 0)


def test_version(raw: Raw) -> None:
    reply = raw.ask(m.Logon("DEMO4", PROTOCOL_VERSION + 1))
    assert reject(reply) == (Code.VERSION, PROTOCOL_VERSION, PROTOCOL_VERSION + 1)


def test_heart_bt_int(raw: Raw) -> None:
    reply = raw.ask(m.Logon("DEMO4", heart_bt_int=HEART_BT_INT_MAX + 1))
    assert reject(reply) == (Code.HEART_BT_INT, HEART_BT_INT_MAX, HEART_BT_INT_MAX + 1)


def test_unknown_appl_id(raw: Raw) -> None:
    raw.logon()
    assert reject(raw.ask(m.ResendRequest(1, appl_id=7))) == (Code.UNKNOWN_APPL_ID, 1, 7)


def test_busy(raw: Raw) -> None:
    """Of one frame with more orders than the session's credit, the first are taken. Each of the
    others is told when to come again."""
    last = raw.logon().last_cl_ord_id
    batch: list[m.Inbound] = [
        m.NewOrderSingle(last + i, "AAPL", Side.BUY, 1, OrdType.LIMIT, PX - 9)
        for i in range(1, CREDIT + 11)
    ]
    raw.send(batch)
    busy: list[int] = []
    while len(busy) < 10:
        reply = raw.receive()
        if isinstance(reply, m.BusinessMessageReject):
            assert reject(reply) == (Code.BUSY, CREDIT, CREDIT)
            assert reply.retry_after_ms > 0
            busy.append(reply.cl_ord_id)
    assert busy == [last + i for i in range(CREDIT + 1, CREDIT + 11)]
    raw.send(m.OrderMassCancelRequest(last + CREDIT + 11, MassCancelType.ALL))


def test_throttled(raw: Raw) -> None:
    """Cancels still pass."""
    last = raw.logon().last_cl_ord_id
    batch: list[m.Inbound] = [m.TestRequest("x")] * 250
    for _ in range(PER_S // 250):
        raw.send(batch)
    raw.send(batch)
    raw.send(m.OrderMassCancelRequest(last + 1, MassCancelType.ALL))
    refusals, reply = [], raw.receive()
    while not isinstance(reply, m.OrderMassCancelReport):
        if isinstance(reply, m.BusinessMessageReject):
            refusals.append(reject(reply))
        reply = raw.receive()
    assert set(refusals) == {(Code.THROTTLED, PER_S, 250)}


def test_replaced_session(tight: Mesh) -> None:
    """Told as the text of the Logout: there is no request that it could refuse."""
    old, new = Raw(tight, "BOT08"), Raw(tight, "BOT08")
    old.logon()
    new.logon()
    reply = old.receive()
    assert isinstance(reply, m.Logout)
    assert reply.text == explain(Code.REPLACED_SESSION, 0, 0)
    old.close()
    new.close()


def test_every_code_is_raised() -> None:
    raised = {row[0] for row in BY_ORDER} | {row[0] for row in BY_ID} | set(OTHERWISE)
    assert raised | set(NOT_RAISED) == set(CATALOGUE) | {Code.OK}
    assert not raised & set(NOT_RAISED)
    assert all(name in globals() for name in OTHERWISE.values())
