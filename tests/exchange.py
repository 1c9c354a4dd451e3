"""A matching engine to talk to in tests, and its reports in short."""

from typing import Any

from rtes.common.records import Command, decode_reports
from rtes.common.refdata import Instrument
from rtes.services.matcher.engine import Engine

DAY_NS = 86_400 * 1_000_000_000
DAY_END_NS = 22 * 3_600 * 1_000_000_000
MIDNIGHT_NS = 20_000 * DAY_NS
INSTRUMENTS = [Instrument(symbol=s, reference_price=100) for s in ("AAPL", "MSFT")]
ALICE, BOB, OPS = 1, 2, 9

Report = tuple[Any, ...]


def told(report: Report) -> tuple[Any, ...]:
    """(what happened, cl_ord_id, leaves, cum), and of a trade (quantity, price) too; of a
    refused cancel or replace its code."""
    if report[0] != "8":
        return report[0], report[3], report[9]
    short = report[3], report[5], report[10], report[11]
    return (*short, report[15], report[16]) if report[3] == "F" else short


class Exchange:
    """An engine; every account counts its own cl_ord_ids."""

    def __init__(self) -> None:
        self.engine = Engine(0, INSTRUMENTS, DAY_END_NS)
        self.now_ns = MIDNIGHT_NS
        self.chunks: list[Any] = []
        self._seq = 0
        self._ids: dict[int, int] = {}

    def apply(
        self, command: Command, verdict: tuple[int, int, int, int] | None = None
    ) -> list[Report]:
        """What the command's account is told."""
        self._seq += 1
        self.engine.apply(command, verdict, self._seq, self.now_ns)
        self.chunks, _ = self.engine.take()
        return [r for c in self.chunks if c[0] == command[1] for r in decode_reports(c[4])]

    def next_id(self, account: int) -> int:
        self._ids[account] = self._ids.get(account, 0) + 1
        return self._ids[account]

    def new(
        self,
        account: int,
        side: str,
        qty: int,
        price: int = 0,
        kind: str = "2",
        *,
        symbol: str = "AAPL",
        tif: str = "1",
        stop: int = 0,
        post_only: bool = False,
        display: int = 0,
        min_qty: int = 0,
        expires: int = 0,
        smp: tuple[int, int] = (0, 1),
    ) -> list[Report]:
        terms = (kind, price, tif, stop, "6" if post_only else "", display, min_qty, expires)
        head = ("D", account, 0, self.next_id(account), symbol, side, qty)
        return self.apply((*head, *terms, *smp))

    def buy(self, account: int, qty: int, price: int = 0, **more: Any) -> list[tuple[Any, ...]]:
        return [told(r) for r in self.new(account, "1", qty, price, **more)]

    def sell(self, account: int, qty: int, price: int = 0, **more: Any) -> list[tuple[Any, ...]]:
        return [told(r) for r in self.new(account, "2", qty, price, **more)]

    def replace(
        self, account: int, orig: int, qty: int, price: int = 0, stop: int = 0
    ) -> list[tuple[Any, ...]]:
        command = ("G", account, 0, self.next_id(account), "AAPL", orig, qty, price, stop)
        return [told(r) for r in self.apply(command)]

    def cancel(self, account: int, orig: int) -> list[Report]:
        return self.apply(("F", account, 0, self.next_id(account), "AAPL", orig))

    def party(self, action: int, name: str = "", symbol: str = "", session: int = 0) -> Report:
        number = {"ALICE": ALICE, "BOB": BOB}.get(name, 0)
        command = ("DH", OPS, 0, self.next_id(OPS), action, name, symbol, session, number)
        return self.apply(command)[-1]

    def queue(self, side: str, symbol: str = "AAPL") -> list[tuple[int, int, int, int]]:
        """(account, cl_ord_id, leaves, shown) by priority."""
        book = self.engine.books[symbol]
        levels = (book.bids if side == "1" else book.asks).ordered()
        orders = [o for level in levels for o in level.queue()]
        return [(o.owner.account, o.cl_ord_id, o.leaves, o.shown) for o in orders]
