"""A simulated participant: trades, remembers what it was told, asks again for what is missing."""

from typing import Any

import msgspec

from tests.simulation.network import MS, Node, Scheduler

CHANNEL = 1
RESEND_MS = 150
_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode


class SimClient:
    """Sends `total` requests, each until it is answered."""

    def __init__(self, node: Node, scheduler: Scheduler, account: str, total: int) -> None:
        self.node = node
        self.scheduler = scheduler
        self.account = account
        self.total = total
        self.reports: dict[int, Any] = {}  # number -> report, as first told
        self.contradictions: list[str] = []
        self.sent: dict[int, list[Any]] = {}  # cl_ord_id -> request
        self.answered: set[int] = set()
        self.logged_on = False
        self.known = 0  # number of the last report the exchange says there is
        self._next_number = 1
        self._last_heard_ns = 0

    def start(self) -> None:
        self.node.step = self._step
        self.scheduler.after(int(self.scheduler.random.random() * 20 * MS), self._tick)

    @property
    def done(self) -> bool:
        return (
            len(self.answered) >= self.total
            and len(self.answered) == len(self.sent)
            and self._next_number > self.known
        )

    def _send(self, message: list[Any]) -> None:
        self.node.send(CHANNEL, None, _encode(message))

    def _tick(self) -> None:
        self._step()
        if not self.logged_on:
            self._send(["A", self.account, 1, 300])
        else:
            self._missing()
            waiting = [i for i in self.sent if i not in self.answered]
            silent = self.scheduler.now_ns - self._last_heard_ns > RESEND_MS * MS
            if waiting and silent:
                for i in waiting:
                    self._send(self.sent[i])
                self._last_heard_ns = self.scheduler.now_ns
            elif len(self.sent) < self.total and len(waiting) < 20:
                self._new_request()
        self.scheduler.after(int((1 + 3 * self.scheduler.random.random()) * MS), self._tick)

    def _missing(self) -> None:
        """Ask for reports that did not arrive; the tail is known from the last logon."""
        top = max(self.known, max(self.reports, default=0))
        if self._next_number <= top and self.scheduler.random.random() < 0.2:
            self._send(["2", self._next_number])

    def _new_request(self) -> None:
        r = self.scheduler.random
        i = max(self.sent, default=0) + 1 + (r.random() < 0.1)
        symbol = "AAPL" if r.random() < 0.5 else "MSFT"
        roll = r.random()
        orders = [k for k, m in self.sent.items() if m[0] == "D"]
        if roll < 0.65 or not orders:
            side, price = r.choice("12"), 1_000 + r.randint(-5, 5)
            message = ["D", i, symbol, side, r.randint(1, 9), "2", price, r.choice("0134")]
        else:
            orig = r.choice(orders)
            symbol = self.sent[orig][2]
            message = ["F", i, symbol, orig]
            if roll > 0.85:
                message = ["G", i, symbol, orig, r.randint(1, 9), 1_000 + r.randint(-5, 5)]
        self.sent[i] = message
        self._send(message)

    def _step(self) -> None:
        for channel in self.node.wait(0):
            for frame in self.node.receive(channel):
                decoded = _decode(frame)
                for row in decoded if isinstance(decoded[0], list) else [decoded]:
                    self._row(row)

    def _row(self, row: list[Any]) -> None:
        self._last_heard_ns = self.scheduler.now_ns
        if row[0] == "A":
            self.logged_on = True
            self.known = max(self.known, row[2])
        elif row[0] in ("5", "j"):
            if row[0] == "5" or row[3] in (63, 64):
                self.logged_on = False
        elif row[0] in ("8", "9", "r"):
            self._report(row)

    def _report(self, row: list[Any]) -> None:
        number = row[2]
        known = self.reports.setdefault(number, row)
        if known != row:
            self.contradictions.append(f"{self.account} report {number}: {known} then {row}")
        while self._next_number in self.reports:
            self._next_number += 1
        cl_ord_id = row[5] if row[0] == "8" else row[3]
        if cl_ord_id in self.sent:
            self.answered.add(cl_ord_id)
