"""A desk that sends commands to a real engine, for the tests of its rules."""

from collections.abc import Sequence
from typing import Any

import msgspec
from rtes.common.enums import ExecType
from rtes.common.messages import ExecutionReport, Outbound
from rtes.common.records import Command
from rtes.common.refdata import Instrument
from rtes.services.matcher.engine import Engine

START_NS = 1_700_000_000_000_000_000
ANN, BOB, CAT, OPS = 1, 2, 3, 4
NAMES = {"ANN": ANN, "BOB": BOB, "CAT": CAT, "OPS": OPS}
INSTRUMENTS = [Instrument(symbol=s, reference_price=100) for s in ("AAPL", "MSFT")]
TERMS = {
    "ord_type": "2", "price": 0, "tif": "0", "stop_px": 0, "exec_inst": "", "display_qty": 0,
    "min_qty": 0, "expire_time": 0, "smp_id": 0, "smp": 1,
}  # fmt: skip
_decode = msgspec.msgpack.Decoder(list[Outbound]).decode


class Desk:
    """Everyone's cl_ord_ids come from one counter. told: what the last command told, by account."""

    def __init__(self, shard: int = 0, day_end_ns: int = 0) -> None:
        self.engine = Engine(shard, INSTRUMENTS, day_end_ns)
        self.now_ns = START_NS
        self.told: dict[int, list[Any]] = {}
        self.chunks: list[Any] = []
        self.notices: list[Any] = []
        self._seq = 0
        self._last_id = 0

    def send(self, command: Command, verdict: Any = None) -> int:
        """Execute a command as a block of its own; returns its cl_ord_id."""
        self._apply(command, verdict)
        self._take()
        return int(command[3])

    def send_all(self, commands: Sequence[Command], per_block: int) -> None:
        """Execute commands, so many a block."""
        for at in range(0, len(commands), per_block):
            for command in commands[at : at + per_block]:
                self._apply(command)
            self._take()

    def _apply(self, command: Command, verdict: Any = None) -> None:
        self._seq += 1
        self.now_ns += 1
        self.engine.apply(command, verdict, self._seq, self.now_ns)

    def _take(self) -> None:
        self.chunks, self.notices = self.engine.take()
        self.told = {chunk[0]: _decode(chunk[4]) for chunk in self.chunks}

    def ask(self, kind: str, account: int, *fields: Any) -> int:
        """A request under a new cl_ord_id."""
        self._last_id += 1
        return self.send((kind, account, 0, self._last_id, *fields))

    def new(
        self, account: int, side: str, qty: int, price: int = 0, symbol: str = "AAPL", **terms: Any
    ) -> int:
        values = (TERMS | {"price": price} | terms).values()
        return self.ask("D", account, symbol, side, qty, *values)

    def buy(self, account: int, qty: int, price: int = 0, **terms: Any) -> int:
        return self.new(account, "1", qty, price, **terms)

    def sell(self, account: int, qty: int, price: int = 0, **terms: Any) -> int:
        return self.new(account, "2", qty, price, **terms)

    def cancel(self, account: int, orig: int, symbol: str = "AAPL") -> int:
        return self.ask("F", account, symbol, orig)

    def replace(self, account: int, orig: int, qty: int, price: int = 0, stop_px: int = 0) -> int:
        return self.ask("G", account, "AAPL", orig, qty, price, stop_px)

    def trade(self, price: int) -> None:
        """Make price the last trade's."""
        self.sell(CAT, 1, price)
        self.buy(CAT, 1, price)

    # ------------------------------------------------------------ what came of it

    def only(self, account: int) -> Any:
        """The one report that account was told."""
        (report,) = self.told[account]
        return report

    def last(self, account: int) -> Any:
        return self.told[account][-1]

    def types(self, account: int) -> list[ExecType]:
        return [r.exec_type for r in self.told.get(account, []) if isinstance(r, ExecutionReport)]

    def trades(self, account: int) -> list[tuple[int, int]]:
        """(quantity, price) of what account traded by the last command."""
        return [
            (r.last_qty, r.last_px)
            for r in self.told.get(account, [])
            if isinstance(r, ExecutionReport) and r.exec_type is ExecType.TRADE
        ]

    def depth(self, side: str, symbol: str = "AAPL") -> list[tuple[int, int, int]]:
        """(price, shown, orders), best first."""
        return self.engine.books[symbol].depth(side, 100)

    def open(self, account: int) -> list[int]:
        return list(self.engine.participants[account].orders)
