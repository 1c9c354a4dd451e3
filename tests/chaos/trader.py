"""A participant that trades all the time and trusts nobody: every report goes into its own file,
synced, before it acts on it. What it was told is afterwards read from that file alone.
`python -m tests.chaos.trader CONFIG ACCOUNT SEED DIRECTORY` is one in a process of its own.

The file has one JSON array a line: a report as told, or the last line ["end", state] with what the
participant believed when it had stopped.
"""

import os
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from rtes.client import Client, Order, Rejected
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.config import Config, load
from rtes.common.enums import OrdStatus, TimeInForce
from rtes.common.refusals import Code

from tests.meshes import Numbered, own_positions

PX: Final = {"AAPL": 58_574, "MSFT": 3_070}
EXPECTED: Final = (Code.TOO_LATE, Code.QTY_BELOW_FILLED, Code.POSITION, Code.READ_ONLY, Code.BUSY)
RESTING_MAX: Final = 50
BURST_MAX: Final = 5
SETTLE_S: Final = 60.0
END: Final = "end"
_decode_report = msgspec.json.Decoder(m.Outbound).decode


class Belief(msgspec.Struct):
    """What a participant that has stopped thinks: its own ids, orders and positions."""

    next_id: int
    in_flight: int
    reports_lost: int
    frames_bad: int
    positions: dict[str, int]
    open_orders: dict[int, tuple[OrdStatus, int, int]]  # by order_id: status, cum, leaves
    usage: list[m.PositionReport]  # what risk says, when asked
    failure: str


class Diary:
    """The file of one participant, as read back."""

    def __init__(self, path: Path) -> None:
        self.told: list[Numbered] = []
        self.refused: set[int] = set()  # by the gateway: never executed
        self.belief: Belief | None = None
        for line in path.read_bytes().splitlines():
            if line.startswith(b'["end"'):
                self.belief = msgspec.convert(msgspec.json.decode(line)[1], Belief, strict=False)
                continue
            report = _decode_report(line)
            if isinstance(report, Numbered):
                self.told.append(report)
            elif isinstance(report, m.BusinessMessageReject):
                self.refused.add(report.cl_ord_id)


class Trader(threading.Thread):
    """Trades until stopping is set, then waits for every answer."""

    def __init__(self, config: Config, account: str, seed: int, directory: Path) -> None:
        super().__init__(name=account, daemon=True)
        self.path = directory / f"{account}.told"
        self.reports = 0
        self.burst_max = BURST_MAX  # requests before it looks what it was told
        self.failure = ""
        self.stopping = threading.Event()
        self._abandoned = False
        self._file = self.path.open("ab")
        self._unsynced = False
        self._random = random.Random(seed)
        gateway = config.exchange.instance(sum(account.encode()) % config.mesh.gateways)
        self.client = Client.connect(
            account, config=config, endpoint=gateway.orders_endpoint, on_report=self._note,
            timeout_s=120.0,
        )  # fmt: skip

    @classmethod
    def of(cls, mesh: Mesh, account: str, seed: int) -> "Trader":
        """One of the mesh's own accounts."""
        return cls(mesh.config, account, seed, mesh.logs)

    def _note(self, report: m.Outbound) -> None:
        if isinstance(report, Numbered | m.BusinessMessageReject):
            self._file.write(msgspec.json.encode(report) + b"\n")
            self._unsynced = True
            self.reports += 1

    def _sync(self) -> None:
        if self._unsynced:
            self._file.flush()
            os.fdatasync(self._file.fileno())
            self._unsynced = False

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                resting = [o for o in self.client.open_orders if o.leaves]
                for _ in range(self._random.randint(1, self.burst_max)):
                    self._act(resting)
                self.client.poll(0.002)
                self._sync()
            self.wait(lambda: self.client.in_flight == 0)
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"

    def wait(self, done: Callable[[], bool]) -> bool:
        """Poll until done() says so; False when it does not within SETTLE_S."""
        polls = int(SETTLE_S / 0.02)
        while not done() and polls and not self._abandoned:
            self.client.poll(0.02)
            polls -= 1
        self._sync()
        return done()

    def end(self, reports: int) -> Diary:
        """Wait until told so many reports, write down what it believes, leave; after join."""
        session = self.client._session
        self.wait(lambda: sum(s.last_seq_num for s in session.streams.values()) >= reports)
        orders = self.client.orders.values()
        usage = [] if self.failure else self.client.account_usage()
        belief = Belief(
            self.client.next_id(), self.client.in_flight, session.reports_lost,
            session.frames_bad, own_positions(self.client),
            {o.order_id: (o.status, o.cum, o.leaves) for o in orders if o.leaves and o.status},
            usage, self.failure,
        )  # fmt: skip
        self._file.write(msgspec.json.encode([END, belief]) + b"\n")
        self._file.close()
        self.client.close()
        return Diary(self.path)

    def abandon(self) -> None:
        """Stop whatever it does, unless it has ended."""
        self._abandoned = True
        self.stopping.set()
        self.join()
        self._file.close()
        self.client.close()

    def _act(self, resting: list[Order]) -> None:
        choose, client = self._random, self.client
        self._sync()
        what = choose.random() - (0.4 if len(resting) > RESTING_MAX else 0.0)
        wait = choose.random() < 0.02
        try:
            if what >= 0.3 or not resting:
                self._order(wait)
            elif what < 0.2:
                client.cancel(choose.choice(resting), wait=wait)
            else:
                order = choose.choice(resting)
                client.replace(order, order.cum + choose.randint(1, 9), wait=wait)
        except Rejected as refused:
            if refused.code not in EXPECTED:
                raise

    def _order(self, wait: bool) -> None:
        choose = self._random
        symbol = choose.choice(list(PX))
        side = self.client.buy if choose.random() < 0.5 else self.client.sell
        terms: dict[str, Any] = {
            "tif": choose.choice((TimeInForce.GTC, TimeInForce.DAY, TimeInForce.IOC))
        }
        side(symbol, choose.randint(1, 9), PX[symbol] + choose.randint(-3, 3), wait=wait, **terms)


def main() -> None:
    """Trade until a line comes; settle and say so; the next line has the number of reports."""
    config, account, seed, directory = sys.argv[1:]
    trader = Trader(load(config), account, int(seed), Path(directory))
    trader.start()
    sys.stdin.readline()
    trader.stopping.set()
    trader.join()
    print("settled", flush=True)
    trader.end(int(sys.stdin.readline()))


if __name__ == "__main__":
    main()
