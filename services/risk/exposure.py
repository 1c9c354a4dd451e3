"""What an account holds: open orders, positions, and what both take up of its limits.

Invariants: everything but what is in flight is a projection of the feed, so that a risk that
starts anew arrives at the same; what an order reserves is the worst that it and the replaces in
flight may still do; an order that is gone reserves nothing.
Credit used in a symbol is the worst of both sides: the position's cost with all buys done, or
with all sells done. An order that would only reduce a position therefore takes up none.
"""

from collections.abc import Mapping
from typing import Any, Final

from rtes.common import moves
from rtes.common.enums import Role, Side
from rtes.common.records import C_CL_ORD_ID, Command
from rtes.common.refdata import Account, Instrument, Limits

NOWHERE: Final = -1  # no session known
BUY: Final = str(Side.BUY.value)


class Market:
    """What all accounts share of one instrument. reference: last trade price, before the first
    trade the instrument's own; 0 when there is none yet."""

    __slots__ = (
        "halted", "lot", "match_id", "qty_max", "qty_min", "reference", "shard", "symbol", "tick",
    )  # fmt: skip

    def __init__(self, instrument: Instrument) -> None:
        self.symbol: str = instrument.symbol
        self.shard: int = instrument.shard
        self.tick: int = instrument.min_price_increment
        self.lot: int = instrument.round_lot
        self.qty_min: int = instrument.min_trade_vol
        self.qty_max: int = instrument.max_trade_vol
        self.reference: int = instrument.reference_price
        self.match_id: int = 0  # of the trade that made the reference
        self.halted: bool = False

    def traded(self, match_id: int, price: int) -> None:
        """Chunks of a block are in no order of time, trade numbers are."""
        if match_id > self.match_id:
            self.match_id = match_id
            self.reference = price


class Order:
    """An open order. confirmed: the matcher has told it; before that it may still be refused.
    replaces: those in flight, by their id, as (order_qty, price it is valued at)."""

    __slots__ = (
        "buy", "cl_ord_id", "confirmed", "cum", "leaves", "position", "price", "replaces",
        "reserved_notional", "reserved_qty",
    )  # fmt: skip

    def __init__(
        self,
        position: "Position",
        cl_ord_id: int,
        buy: bool,
        leaves: int,
        price: int,
        reserved_qty: int = 0,
        reserved_notional: int = 0,
    ) -> None:
        self.position: Position = position
        self.cl_ord_id: int = cl_ord_id
        self.buy: bool = buy
        self.leaves: int = leaves
        self.cum: int = 0
        self.price: int = price
        self.confirmed: bool = False
        self.replaces: dict[int, tuple[int, int]] | None = None
        self.reserved_qty: int = reserved_qty
        self.reserved_notional: int = reserved_notional

    def as_told(self, leaves: int, price: int) -> bool:
        """Whether it holds what the matcher now says of it, and reserves just that."""
        same = self.leaves == leaves and self.price == price and self.reserved_qty == leaves
        return same and self.replaces is None and self.cum == 0

    def becomes(self, leaves: int, cum: int, price: int) -> None:
        """What the matcher says of it. price: 0 as before, or for an order without a limit."""
        self.leaves = leaves
        self.cum = cum
        if price:
            self.price = price
        elif not self.confirmed:
            self.price = self.position.market.reference  # as a risk that starts anew would
        self.confirmed = True
        self.position.hold(self, *self.worst())

    def worst(self) -> tuple[int, int]:
        """(quantity, notional) that it and the replaces in flight may still trade."""
        qty = self.leaves
        notional = qty * self.price
        if not self.replaces:
            return qty, notional
        for order_qty, price in self.replaces.values():
            left = order_qty - self.cum
            qty = max(qty, left)
            notional = max(notional, left * price)
        return qty, notional


class Ledger:
    """An account at one matcher shard. mark: no id up to it will be executed from now on, the
    matcher answers it from memory; told_mark: as far as the feed has shown. orders holds every
    open order by its id and by the ids of the replaces in flight."""

    __slots__ = ("mark", "orders", "told_mark")

    def __init__(self) -> None:
        self.mark: int = 0
        self.told_mark: int = 0
        self.orders: dict[int, Order] = {}

    def saw(self, cl_ord_id: int) -> None:
        if cl_ord_id > self.told_mark:
            self.told_mark = cl_ord_id
            self.mark = max(self.mark, cl_ord_id)

    def refused(self, cl_ord_id: int) -> None:
        """Free what an order or a replace in flight had reserved. A confirmed order stays: what
        was refused then is another request that used its id."""
        order = self.orders.get(cl_ord_id)
        if order is None:
            return
        if order.cl_ord_id == cl_ord_id:
            if not order.confirmed:
                self.remove(order)
            return
        assert order.replaces is not None
        del order.replaces[cl_ord_id], self.orders[cl_ord_id]
        order.position.hold(order, *order.worst())

    def remove(self, order: Order) -> None:
        """The order is gone, and with it every replace in flight."""
        del self.orders[order.cl_ord_id]
        if order.replaces:
            for cl_ord_id in order.replaces:
                del self.orders[cl_ord_id]
        position = order.position
        position.hold(order, 0, 0)
        position.open_orders -= 1
        position.exposure.open_orders -= 1

    def closed(self, cl_ord_id: int) -> None:
        order = self.orders.get(cl_ord_id)
        if order is not None:
            self.remove(order)

    def replaced(self, cl_ord_id: int, told: list[Any], at: int) -> None:
        order = self.orders.pop(told[at + 2], None)
        if order is None:
            return
        self.orders[cl_ord_id] = order
        order.cl_ord_id = cl_ord_id
        if order.replaces:
            order.replaces.pop(cl_ord_id, None)
        order.becomes(told[at + 3], told[at + 4], told[at + 5])


class Position:
    """An account in one symbol. cost: what the net position was bought for at its average
    price, negative when short; notionals and cost in ticks x lots. band_low and band_high are
    the account's price band around band_reference."""

    __slots__ = (
        "band_high", "band_low", "band_reference", "buy_notional", "buy_qty", "cost",
        "credit_used", "exposure", "ledger", "market", "net_qty", "open_orders",
        "sell_notional", "sell_qty", "suspended",
    )  # fmt: skip

    def __init__(self, exposure: "Exposure", market: Market, ledger: Ledger) -> None:
        self.exposure: Exposure = exposure
        self.market: Market = market
        self.ledger: Ledger = ledger
        self.net_qty: int = 0
        self.cost: int = 0
        self.open_orders: int = 0
        self.buy_qty: int = 0
        self.sell_qty: int = 0
        self.buy_notional: int = 0
        self.sell_notional: int = 0
        self.credit_used: int = 0
        self.band_reference: int = 0
        self.band_low: int = 0
        self.band_high: int = 0
        self.suspended: bool = False

    def move_band(self) -> None:
        reference = self.market.reference
        width = reference * self.exposure.band_ppm // 1_000_000
        self.band_reference = reference
        self.band_low = reference - width
        self.band_high = reference + width

    def add(self, order: Order) -> None:
        """An order is new here, accepted by risk or told by the matcher."""
        self.ledger.orders[order.cl_ord_id] = order
        self.open_orders += 1
        self.exposure.open_orders += 1

    def hold(self, order: Order, qty: int, notional: int) -> None:
        """Make qty and notional all that the order reserves."""
        if order.buy:
            self.buy_qty += qty - order.reserved_qty
            self.buy_notional += notional - order.reserved_notional
        else:
            self.sell_qty += qty - order.reserved_qty
            self.sell_notional += notional - order.reserved_notional
        order.reserved_qty = qty
        order.reserved_notional = notional
        self.value()

    def value(self) -> None:
        """Bring the credit used up to date."""
        long = self.cost + self.buy_notional
        short = self.sell_notional - self.cost
        used = long if long > short else short
        self.exposure.credit_used += used - self.credit_used
        self.credit_used = used

    def fill(self, buy: bool, qty: int, price: int) -> None:
        """Turn qty into position. The caller then says what the order still reserves."""
        signed = qty if buy else -qty
        self.net_qty, self.cost = after_fill(self.net_qty, self.cost, signed, price)


def after_fill(net_qty: int, cost: int, qty: int, price: int) -> tuple[int, int]:
    """Position and cost after qty (negative: sold) at price: what is added counts at its price,
    what is closed leaves the average price as it was."""
    left = net_qty + qty
    if net_qty == 0 or (net_qty > 0) == (qty > 0):
        return left, cost + qty * price
    if left == 0:
        return 0, 0
    if (left > 0) == (net_qty > 0):
        return left, cost * left // net_qty
    return left, left * price


class Exposure:
    """One account: its limits, what it takes up of them, and its kill switches."""

    __slots__ = (
        "account", "band_ppm", "credit_max", "credit_used", "gateway", "ledgers", "markets", "name",
        "notional_max", "open_orders", "open_orders_max", "operator", "order_qty_max",
        "orders_in_second", "orders_per_s_max", "position_max", "positions", "second_ns",
        "session_suspended", "suspended", "told_gateway", "told_turn",
    )  # fmt: skip

    def __init__(self, account: Account, markets: Mapping[str, Market]) -> None:
        self.account: int = account.id
        self.name: str = account.name
        self.operator: bool = account.role is Role.OPERATOR
        self.markets: Mapping[str, Market] = markets
        self.positions: dict[str, Position] = {}
        self.limit(account.limits)
        self.ledgers: dict[int, Ledger] = {}
        self.open_orders: int = 0
        self.credit_used: int = 0
        self.second_ns: int = 0
        self.orders_in_second: int = 0
        self.suspended: bool = False
        self.session_suspended: bool = False
        self.gateway: int = NOWHERE  # of its newest session: of the last logon that passed here
        self.told_gateway: int = NOWHERE  # and of the newest that the feed has told
        self.told_turn: int = 0

    def told_logon(self, turn: int, gateway: int) -> None:
        """A matcher took a logon; each tells of it, in any order."""
        if turn >= self.told_turn:
            self.told_turn = turn
            self.told_gateway = gateway

    def is_elsewhere(self, command: Command, gateway: int) -> bool:
        """Whether its session is at another gateway than the one that a participant's command
        came by. Until a logon has passed here the feed knows."""
        newest = self.told_gateway if self.gateway == NOWHERE else self.gateway
        return newest not in (NOWHERE, gateway) and command[C_CL_ORD_ID] != 0

    def limit(self, limits: Limits) -> None:
        """What is allowed from now on; what is held already stays, even beyond it."""
        self.order_qty_max: int = limits.order_qty_max
        self.notional_max: int = limits.notional_max
        self.band_ppm: int = round(limits.band_percent * 10_000)
        self.orders_per_s_max: int = limits.orders_per_s_max
        self.open_orders_max: int = limits.open_orders_max
        self.position_max: int = limits.position_max
        self.credit_max: int = limits.credit_max
        for position in self.positions.values():
            position.band_reference = 0  # the next order finds the band anew

    def ledger(self, shard: int) -> Ledger:
        ledger = self.ledgers.get(shard)
        if ledger is None:
            ledger = self.ledgers[shard] = Ledger()
        return ledger

    def position(self, symbol: str) -> Position | None:
        """None when the symbol is not listed."""
        position = self.positions.get(symbol)
        if position is None:
            market = self.markets.get(symbol)
            if market is None:
                return None
            position = Position(self, market, self.ledger(market.shard))
            self.positions[symbol] = position
        return position

    def told(self, shard: int, told: list[Any]) -> None:
        """Follow what a block of a matcher changed; told: see rtes.common.moves."""
        ledger = self.ledger(shard)
        at = 0
        while at < len(told):
            # typed: compiled, they are compared without making objects
            kind: int = told[at]
            cl_ord_id: int = told[at + 1]
            if cl_ord_id > ledger.told_mark:
                ledger.saw(cl_ord_id)
            if kind == moves.OPENED:
                self._opened(ledger, cl_ord_id, told, at)
            elif kind == moves.CLOSED:
                ledger.closed(told[at + 2])
            elif kind == moves.ANSWERED:
                ledger.refused(cl_ord_id)
            elif kind == moves.TRADED:
                self._traded(ledger, cl_ord_id, told, at)
            elif kind == moves.REPLACED:
                ledger.replaced(cl_ord_id, told, at)
            else:
                order = ledger.orders.get(cl_ord_id)
                if order is not None:
                    order.becomes(told[at + 2], told[at + 3], told[at + 4])
            at += moves.LENGTHS[kind]

    def _opened(self, ledger: Ledger, cl_ord_id: int, told: list[Any], at: int) -> None:
        leaves: int = told[at + 3]
        price: int = told[at + 4]
        buy = leaves > 0
        if not buy:
            leaves = -leaves
        order = ledger.orders.get(cl_ord_id)
        if order is None:
            position = self.position(told[at + 2])
            if position is None:
                return  # no longer listed
            order = Order(position, cl_ord_id, buy, 0, 0)
            position.add(order)
        elif order.as_told(leaves, price):
            order.confirmed = True
            return
        order.becomes(leaves, 0, price)

    def _traded(self, ledger: Ledger, cl_ord_id: int, told: list[Any], at: int) -> None:
        order = ledger.orders.get(cl_ord_id)
        if order is None:
            return  # its symbol is no longer listed
        leaves: int = told[at + 3]
        qty: int = told[at + 4]
        price: int = told[at + 5]
        position = order.position
        position.market.traded(told[at + 6], price)
        position.fill(order.buy, qty, price)
        if leaves == 0:
            ledger.remove(order)
        else:
            order.becomes(leaves, order.cum + qty, 0)
