"""A hand that sends requests through risk and plays the matcher, for the tests of risk."""

from typing import Any

from rtes.common import moves
from rtes.common.enums import (
    ExecInst,
    ExecType,
    OrdType,
    PartyAction,
    Role,
    Side,
    TimeInForce,
)
from rtes.common.messages import PositionReport
from rtes.common.records import (
    NOTICE_PARTY,
    Block,
    Command,
    decode_commands,
    encode,
)
from rtes.common.refdata import Account, Instrument, Limits
from rtes.services.risk.rules import Risk

NOW_NS = 1_700_000_000_000_000_000
ME, OTHER, OPS = 1, 2, 3
INSTRUMENTS = [
    Instrument(symbol="AAA", reference_price=1_000),
    Instrument(
        symbol="BBB", reference_price=5_000, min_price_increment=50, round_lot=10,
        min_trade_vol=20, max_trade_vol=1_000,
    ),
    Instrument(symbol="NEW", reference_price=0),
    Instrument(symbol="FAR", reference_price=1_000, shard=1),
]  # fmt: skip
LIMITS = Limits(
    order_qty_max=500, notional_max=400_000, orders_per_s_max=50, open_orders_max=10,
    position_max=600, credit_max=600_000,
)  # fmt: skip


def accounts(limits: Limits = LIMITS) -> list[Account]:
    return [
        Account(id=ME, name="ME", limits=limits),
        Account(id=OTHER, name="OTHER", limits=limits),
        Account(id=OPS, name="OPS", role=Role.OPERATOR, limits=limits),
    ]


def on_the_wire(*fields: Any) -> Command:
    """As risk gets it: enums have become their values."""
    return decode_commands(encode([fields]))[0]


class Floor:
    """Risk with a hand that sends requests and plays the matcher."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.risk = Risk(INSTRUMENTS, accounts(limits))
        self.now_ns = NOW_NS
        self.next_id = 0
        self.matches = 0

    def new(
        self, qty: int = 10, price: int = 1_000, *, symbol: str = "AAA", side: Side = Side.BUY,
        ord_type: OrdType = OrdType.LIMIT, tif: TimeInForce = TimeInForce.DAY, stop_px: int = 0,
        post_only: bool = False, display_qty: int = 0, min_qty: int = 0, expire_time: int = 0,
        account: int = ME, cl_ord_id: int = 0,
    ) -> tuple[int, int, int] | None:  # fmt: skip
        self.next_id = cl_ord_id or self.next_id + 1
        inst = ExecInst.POST_ONLY if post_only else ExecInst.NONE
        command = on_the_wire(
            "D", account, self.now_ns, self.next_id, symbol, side, qty, ord_type, price, tif,
            stop_px, inst, display_qty, min_qty, expire_time, 0, 1,
        )  # fmt: skip
        return self.risk.check(command, 0)

    def replace(
        self, orig: int, qty: int, price: int, *, symbol: str = "AAA", stop_px: int = 0,
        cl_ord_id: int = 0, account: int = ME,
    ) -> tuple[int, int, int] | None:  # fmt: skip
        self.next_id = cl_ord_id or self.next_id + 1
        fields = ("G", account, self.now_ns, self.next_id, symbol, orig, qty, price, stop_px)
        return self.risk.check(on_the_wire(*fields), 0)

    def block(self, account: int, *told: int | str, notices: Any = (), shard: int = 0) -> None:
        chunks = [(account, 0, 1, 0, b"", encode(told))] if told else []
        self.risk.apply_block(Block(shard, 1, 1, 1, self.now_ns, [], [], chunks, list(notices)))

    def moved(
        self, exec_type: ExecType, cl_ord_id: int, leaves: int, cum: int = 0, *,
        price: int = 1_000, last: tuple[int, int] = (0, 0), orig: int = 0, symbol: str = "AAA",
        side: Side = Side.BUY,
    ) -> tuple[int | str, ...]:  # fmt: skip
        """The move that goes with such a report; last: quantity and price of a trade."""
        holds = leaves, cum, price
        match exec_type:
            case ExecType.NEW:
                signed = leaves if side is Side.BUY else -leaves
                return moves.OPENED, cl_ord_id, symbol, signed, price
            case ExecType.TRADE:
                self.matches += 1
                return moves.TRADED, cl_ord_id, symbol, leaves, *last, self.matches
            case ExecType.REPLACED:
                return moves.REPLACED, cl_ord_id, orig, *holds
            case ExecType.RESTATED:
                return moves.CHANGED, cl_ord_id, *holds
            case ExecType.CANCELED | ExecType.EXPIRED:
                return moves.CLOSED, cl_ord_id, orig or cl_ord_id
        assert exec_type is ExecType.REJECTED
        return moves.ANSWERED, cl_ord_id

    def tell(self, *args: Any, account: int = ME, shard: int = 0, **options: Any) -> None:
        self.block(account, *self.moved(*args, **options), shard=shard)

    def tell_refused(self, cl_ord_id: int) -> None:
        self.block(ME, moves.ANSWERED, cl_ord_id)

    def switch(self, action: PartyAction, account: int, symbol: str, session: int) -> None:
        self.block(0, notices=[(NOTICE_PARTY, action, account, symbol, session)])

    def usage(self, account: int = ME) -> PositionReport:
        return self.risk.usage(account)[-1]

    def row(self, symbol: str = "AAA", account: int = ME) -> PositionReport | None:
        return next((r for r in self.risk.usage(account) if r.symbol == symbol), None)


def empty(floor: Floor) -> bool:
    """Nothing is reserved: no row but the account's own, and that all zero."""
    rows = floor.risk.usage(ME)
    total = rows[-1]
    return len(rows) == 1 and not (
        total.open_orders or total.credit_used or total.open_buy_qty or total.open_sell_qty
    )


def buy(floor: Floor, qty: int, price: int = 1_000, side: Side = Side.BUY) -> None:
    """Fill an order of qty at once."""
    assert floor.new(qty, price, side=side) is None
    cl_ord_id = floor.next_id
    floor.tell(ExecType.NEW, cl_ord_id, qty, price=price, side=side)
    floor.tell(ExecType.TRADE, cl_ord_id, 0, qty, price=price, side=side, last=(qty, price))
