"""The rules: whether an order may trade, decided from the order and its account's exposure.

Invariants: a refusal changes no exposure, an approval reserves all it may use; cancels and
questions always pass; a request whose id is not above the account's mark passes unreserved,
because the matcher answers it from memory and never executes it; a replace needs room only for
what it adds; after a logon nothing passes that an older session sent by another gateway. Credit
and notional are in ticks x lots; orders without a limit price are valued at the reference price,
and trades at other prices may move credit beyond its limit.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rtes.common import moves
from rtes.common.enums import PartyAction
from rtes.common.messages import PositionReport
from rtes.common.moves import decode_moves
from rtes.common.records import (
    A_TURN,
    C_ACCOUNT,
    C_CL_ORD_ID,
    C_RECEIVED_NS,
    C_TYPE,
    CMD_GATEWAY,
    CMD_LOGON,
    D_DISPLAY_QTY,
    D_MIN_QTY,
    D_ORD_TYPE,
    D_ORDER_QTY,
    D_PLAIN,
    D_PRICE,
    D_SIDE,
    D_STOP_PX,
    D_SYMBOL,
    NOTICE_LOGON,
    NOTICE_PARTY,
    Block,
    Command,
    whole,
)
from rtes.common.refdata import Account, Instrument, Limits
from rtes.common.refusals import Code
from rtes.services.risk import snapshot
from rtes.services.risk.checks import (
    LIMIT,
    Refused,
    reserve,
    wrong_fields,
    wrong_lots,
    wrong_terms,
)
from rtes.services.risk.exposure import BUY, Exposure, Market, Order, Position


class Risk:
    """Risk for the accounts of one shard: those with account % shards == shard."""

    __slots__ = ("_exposures", "_late", "_markets", "_mine", "_received_ns")

    def __init__(
        self,
        instruments: Sequence[Instrument],
        accounts: Sequence[Account],
        shard: int = 0,
        shards: int = 1,
        late: Callable[[int], Account | None] = lambda _: None,
    ) -> None:
        """late: finds an account that was made after the start; asked for unknown ones only."""
        self._late = late
        self._received_ns: int = 0  # of the last command that says it
        self._mine = (shard, shards)
        self._markets: dict[str, Market] = {i.symbol: Market(i) for i in instruments}
        self._exposures: dict[int, Exposure] = {
            a.id: Exposure(a, self._markets) for a in accounts if a.id % shards == shard
        }

    # ------------------------------------------------------------ commands

    def check(self, command: Command, gateway: int) -> Refused | None:
        """None: approved, and what it may use is reserved. gateway: that the command came by."""
        if command[C_RECEIVED_NS]:
            self._received_ns = command[C_RECEIVED_NS]
        account = command[C_ACCOUNT]
        exposure = self._exposures.get(account) or self._newcomer(account)
        if exposure is None:
            if command[C_TYPE] == CMD_GATEWAY:
                return None  # of no account
            return Code.NOT_AUTHORIZED, 0, command[C_ACCOUNT]
        if exposure.gateway != gateway and exposure.is_elsewhere(command, gateway):
            return Code.REPLACED_SESSION, 0, account
        kind: str = command[C_TYPE]
        if kind == "D":
            return _new_order(exposure, command, self._received_ns)
        if kind == "G":
            return _replace(exposure, command, self._received_ns)
        if kind in ("DH", "UF") and not exposure.operator:
            return Code.NOT_AUTHORIZED, 0, command[C_ACCOUNT]
        if kind == CMD_LOGON and not command[A_TURN]:  # a turn given is a place in the past
            exposure.gateway = gateway
        return None

    def _newcomer(self, account: int) -> Exposure | None:
        shard, shards = self._mine
        found = self._late(account) if account % shards == shard else None
        if found is None:
            return None
        self._exposures[account] = Exposure(found, self._markets)
        return self._exposures[account]

    def limit(self, limits: Mapping[int, Limits]) -> None:
        """Other limits for these accounts, from the next command on."""
        for account, exposure in self._exposures.items():
            if account in limits:
                exposure.limit(limits[account])

    # ------------------------------------------------------------ the feed

    def apply_block(self, block: Block) -> None:
        """Follow one block. Blocks come in order and once (see rtes.common.feed)."""
        for account, _first, _reports, _answered, _data, encoded in block.chunks:
            told = decode_moves(encoded)
            exposure = self._exposures.get(account)
            if exposure is not None:
                exposure.told(block.shard, told)
            else:
                self._follow_trades(told)
        for notice in block.notices:
            if notice[0] == NOTICE_PARTY:
                self._party(*notice[1:])
            elif notice[0] == NOTICE_LOGON:
                exposure = self._exposures.get(notice[1])
                if exposure is not None:
                    exposure.session_suspended = False
                    exposure.told_logon(notice[4], notice[2])

    def _follow_trades(self, told: list[Any]) -> None:
        """Reference prices come from the trades of all accounts, not of this shard's only."""
        at = 0
        while at < len(told):
            kind: int = told[at]
            if kind == moves.TRADED:
                market = self._markets.get(told[at + 2])
                if market is not None:
                    market.traded(told[at + 6], told[at + 5])
            at += moves.LENGTHS[kind]

    def _party(self, action: int, account: int, symbol: str, session: int) -> None:
        """A kill switch: of an account, its session, its trading in a symbol, or a symbol; of
        all symbols when it names nothing."""
        on = action != PartyAction.REINSTATE
        if not account:
            for market in self._markets.values():
                if symbol in ("", market.symbol):
                    market.halted = on
            return
        exposure = self._exposures.get(account) or self._newcomer(account)
        if exposure is None:
            return  # of another shard
        if session:
            exposure.session_suspended = on
        elif not symbol:
            exposure.suspended = on
        elif (position := exposure.position(symbol)) is not None:
            position.suspended = on

    # ------------------------------------------------------------ questions and snapshots

    def usage(self, account: int, pos_req_id: str = "") -> list[PositionReport]:
        """Positions and open orders by symbol, then the account's limits and usage."""
        exposure = self._exposures.get(account) or self._newcomer(account)
        if exposure is None:
            return []
        held = sorted(s for s, p in exposure.positions.items() if p.net_qty or p.open_orders)
        rows = [_row(exposure.positions[s], pos_req_id, len(held) + 1) for s in held]
        rows.append(_total_row(exposure, pos_req_id, len(held) + 1))
        return rows

    def state(self) -> dict[str, Any]:
        """The projection as plain values, see rtes.services.risk.snapshot."""
        return snapshot.state(self._markets.values(), self._exposures.values())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take in a state before the first block; one per matcher shard, or one of all."""
        snapshot.restore(state, self._markets, self._exposures)


# ---------------------------------------------------------------- orders and replaces


def _new_order(exposure: Exposure, command: Command, received_ns: int) -> Refused | None:
    cl_ord_id: int = command[C_CL_ORD_ID]
    symbol: str = command[D_SYMBOL]
    side: str = command[D_SIDE]
    qty: int = command[D_ORDER_QTY]
    ord_type: str = command[D_ORD_TYPE]
    price: int = command[D_PRICE]
    stop_px: int = 0
    plain = len(command) == D_PLAIN
    position = exposure.positions.get(symbol)
    if position is None:
        position = exposure.position(symbol)
    if position is not None:
        ledger = position.ledger
        if cl_ord_id <= ledger.mark:
            return None
        ledger.mark = cl_ord_id  # refused or not: the matcher will have seen it
    if not plain or not price or ord_type != LIMIT:
        command = whole(command)
        stop_px = command[D_STOP_PX]
        refused = wrong_fields(command, received_ns)
        if refused is not None:
            return refused
    if position is None:
        return Code.UNKNOWN_SYMBOL, 0, 0
    if not plain and (command[D_DISPLAY_QTY] or command[D_MIN_QTY]):
        refused = wrong_lots(position.market, command)
        if refused is not None:
            return refused
    valued = price or position.market.reference
    notional = qty * valued
    refused = wrong_terms(exposure, position, qty, price, stop_px, notional, received_ns)
    if refused is not None:
        return refused
    if exposure.open_orders >= exposure.open_orders_max:
        return Code.OPEN_ORDERS, exposure.open_orders_max, exposure.open_orders + 1
    buy = side == BUY
    refused = reserve(exposure, position, buy, qty, notional)
    if refused is not None:
        return refused
    position.add(Order(position, cl_ord_id, buy, qty, valued, qty, notional))
    return None


def _replace(exposure: Exposure, command: Command, received_ns: int) -> Refused | None:
    """Whether the fields fit the order's type is for the matcher to say, which knows it."""
    _, _, _, cl_ord_id, symbol, orig_cl_ord_id, qty, price, stop_px = command
    position = exposure.position(symbol)
    if position is None:
        return Code.UNKNOWN_SYMBOL, 0, 0
    ledger = position.ledger
    if cl_ord_id <= ledger.mark:
        return None
    ledger.mark = cl_ord_id
    order = ledger.orders.get(orig_cl_ord_id)
    if order is None:
        return None  # the matcher knows no such order either, and says so
    position = order.position
    valued = price or order.price
    refused = wrong_terms(exposure, position, qty, price, stop_px, qty * valued, received_ns)
    if refused is not None:
        return refused
    left = qty - order.cum
    more_qty = max(0, left - order.reserved_qty)
    more_notional = max(0, left * valued - order.reserved_notional)
    refused = reserve(exposure, position, order.buy, more_qty, more_notional)
    if refused is not None:
        return refused
    order.reserved_qty += more_qty
    order.reserved_notional += more_notional
    if order.replaces is None:
        order.replaces = {}
    order.replaces[cl_ord_id] = (qty, valued)
    ledger.orders[cl_ord_id] = order
    return None


# ---------------------------------------------------------------- rows


def _row(position: Position, pos_req_id: str, rows: int) -> PositionReport:
    exposure = position.exposure
    suspended = position.suspended or position.market.halted
    return PositionReport(
        pos_req_id, rows, exposure.name, position.market.symbol, position.net_qty,
        position.buy_qty, position.sell_qty, position.open_orders, exposure.open_orders_max,
        exposure.position_max, position.credit_used, exposure.credit_max, int(suspended),
    )  # fmt: skip


def _total_row(exposure: Exposure, pos_req_id: str, rows: int) -> PositionReport:
    suspended = exposure.suspended or exposure.session_suspended
    return PositionReport(
        pos_req_id, rows, exposure.name, "", 0,
        sum(p.buy_qty for p in exposure.positions.values()),
        sum(p.sell_qty for p in exposure.positions.values()),
        exposure.open_orders, exposure.open_orders_max, exposure.position_max,
        exposure.credit_used, exposure.credit_max, int(suspended),
    )  # fmt: skip
