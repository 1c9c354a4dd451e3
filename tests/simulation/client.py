"""A simulated participant: trades, remembers what it was told, asks again for what is missing.

It speaks to one gateway at a time, over one connection; when it hears nothing for long, or just
so, it takes a new connection, perhaps to the other gateway, and logs on again there.
"""

from typing import Any

import msgspec
from rtes.services.gateway.core import CLIENTS

from tests.simulation.network import MS, Network

RESEND_NS = 150 * MS
MOVE_NS = 400 * MS
LOGON_NS = 40 * MS
UNANSWERED_MAX = 20
NOT_LOGGED_ON = (63, 64)
_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode


class SimClient:
    """Sends `total` requests, each until every shard that it concerns has answered."""

    def __init__(
        self, network: Network, account: str, shard_of: dict[str, int], total: int, gateways: int
    ) -> None:
        self.node = network.node(account, edge=True)
        self.account = account
        self.cancel_on_disconnect = int(account[-1]) % 3
        self.reports: dict[tuple[int, int], Any] = {}  # shard, number -> report, as first told
        self.contradictions: list[str] = []
        self.sent: dict[int, list[Any]] = {}  # cl_ord_id -> request
        self.unanswered: dict[int, list[int]] = {}  # cl_ord_id -> shards that owe an answer
        self.gone = False  # said goodbye, and was told so
        self.moves = 0
        self.pace_ms = 10.0
        self.patient = network.faults.patient
        self._network = network
        self._scheduler = network.scheduler
        self._random = network.scheduler.random
        self._shard_of = shard_of
        self._shards = sorted(set(shard_of.values()))
        self._total = total
        self._gateways = gateways
        self._at = int(account[-1]) % gateways
        self._channel = 0
        self._leaving = False
        self._refused: dict[int, Any] = {}  # cl_ord_id -> the gateway's refusal
        self._known = dict.fromkeys(self._shards, 0)  # last report that the exchange says there is
        self._next = dict.fromkeys(self._shards, 1)
        self._logged_on: dict[int, bool] = {}  # shards that confirmed this session
        self._heard_ns = self._logon_ns = 0
        self._moved_ns = 0  # last answer, or last time that we asked again

    def start(self) -> None:
        self.node.step = self._step
        self.connect(self._at)
        self._scheduler.after(int(self._random.random() * 20 * MS), self._tick)

    @property
    def done(self) -> bool:
        return (
            len(self.sent) >= self._total
            and not self.unanswered
            and self.logged_on
            and all(self._next[s] > self._known[s] for s in self._shards)
        )

    @property
    def _at_rest(self) -> bool:
        return self.logged_on and not self.unanswered

    @property
    def logged_on(self) -> bool:
        return len(self._logged_on) == len(self._shards)

    @property
    def position(self) -> str:
        """Where it stands, for who asks why it is stuck."""
        return (
            f"gateway {self._at}, logged on {self._logged_on}, next {self._next} of {self._known}"
        )

    def leave(self) -> None:
        """End the session in order; `gone` when the gateway knows."""
        self._leaving = True

    # ------------------------------------------------------------ connection

    def connect(self, gateway: int) -> None:
        """Take a new connection, to this gateway."""
        if self._channel:
            self._network.disconnect(self.node.name, self._channel)
            self.moves += 1
        self._at = gateway
        self._channel += 1
        self._network.connect(self.account, self._channel, f"gateway{gateway}", CLIENTS, True)
        self._logged_on.clear()
        self._heard_ns = self._scheduler.now_ns
        self._logon_ns = 0
        self._scheduler.note(self.account, "connects to gateway", gateway)

    def send(self, message: list[Any]) -> None:
        self.node.send(self._channel, None, _encode(message))

    # ------------------------------------------------------------ turns

    def _tick(self) -> None:
        now_ns, roll = self._scheduler.now_ns, self._random.random
        if self._leaving and self.logged_on:
            self.send(["5"])
        elif self.gone:
            return
        elif roll() < self._network.faults.leave and not self.patient:
            self.connect(int(roll() * self._gateways))
        elif now_ns - self._heard_ns > MOVE_NS and not (self.patient or self._at_rest):
            self.connect((self._at + 1) % self._gateways)
        elif not self.logged_on:
            if now_ns - self._logon_ns > LOGON_NS:
                self._logon_ns = now_ns
                self.send(["A", self.account, 1, 300, self.cancel_on_disconnect])
        else:
            self._work(now_ns)
        self._scheduler.after(int(2 * self.pace_ms * roll() * MS) + MS, self._tick)

    def _work(self, now_ns: int) -> None:
        self._ask_for_missing()
        if self.unanswered and now_ns - self._moved_ns > RESEND_NS and not self.patient:
            self._moved_ns = now_ns
            for i in self.unanswered:
                self.send(self.sent[i])
        elif len(self.sent) < self._total and len(self.unanswered) < UNANSWERED_MAX:
            for _ in range(1 + int(self._random.random() * 3)):
                if len(self.sent) < self._total:
                    self._new_request()

    def _ask_for_missing(self) -> None:
        for shard in self._shards:
            if self._next[shard] <= self._known[shard] and self._random.random() < 0.3:
                self.send(["2", self._next[shard], shard])

    def _new_request(self) -> None:
        r = self._random
        i = max(self.sent, default=0) + 1 + (r.random() < 0.1)
        symbol = r.choice(list(self._shard_of))
        roll = r.random()
        orders = [k for k, m in self.sent.items() if m[0] == "D"]
        concerns = None
        if roll < 0.65 or not orders:
            side, price = r.choice("12"), 1_000 + r.randint(-5, 5)
            message = ["D", i, symbol, side, r.randint(1, 9), "2", price, r.choice("0134")]
        elif roll < 0.68:
            message = ["q", i, "7"]
            concerns = list(self._shards)
        else:
            orig = r.choice(orders)
            symbol = self.sent[orig][2]
            message = ["F", i, symbol, orig]
            if roll > 0.85:
                message = ["G", i, symbol, orig, r.randint(1, 9), 1_000 + r.randint(-5, 5)]
        self.ask(message, concerns or [self._shard_of[symbol]])

    def ask(self, message: list[Any], shards: list[int]) -> None:
        """Send a request that these shards are to answer."""
        i = message[1]
        self.sent[i] = message
        if not self.unanswered:
            self._moved_ns = self._scheduler.now_ns
        self.unanswered[i] = shards
        self._scheduler.note(self.account, "sends", message)
        self.send(message)

    # ------------------------------------------------------------ what it is told

    def _step(self) -> None:
        for channel in self.node.wait(0):
            for frame in self.node.receive(channel):
                if channel != self._channel:
                    continue  # of a connection that is no more
                decoded = _decode(frame)
                for row in decoded if isinstance(decoded[0], list) else [decoded]:
                    self._row(row)

    def _row(self, row: list[Any]) -> None:
        self._heard_ns = self._scheduler.now_ns
        if row[0] == "A":
            self._logged_on[row[1]] = True
            self._known[row[1]] = max(self._known[row[1]], row[2])
        elif row[0] == "5" or (row[0] == "j" and row[3] in NOT_LOGGED_ON):
            self._logged_on.clear()
            self.gone |= self._leaving and row[0] == "5"
        elif row[0] == "j" and self.patient and row[2] in self.unanswered:
            del self.unanswered[row[2]]  # refused at the gateway, and never executed
            self._refused[row[2]] = row
        elif row[0] in ("8", "9", "r"):
            self._report(row)

    def _report(self, row: list[Any]) -> None:
        shard, number = row[1], row[2]
        known = self.reports.setdefault((shard, number), row)
        if known != row:
            self.contradictions.append(
                f"contradictory: {self.account} report {shard}/{number}: {known} then {row}"
            )
        self._known[shard] = max(self._known[shard], number)
        while (shard, self._next[shard]) in self.reports:
            self._next[shard] += 1
        cl_ord_id = row[5] if row[0] == "8" else row[3]
        if cl_ord_id in self._refused:
            told = self._refused[cl_ord_id]
            self.contradictions.append(f"contradictory: {self.account} {told} then {row}")
        owed = self.unanswered.get(cl_ord_id)
        if owed is not None and shard in owed:
            self._moved_ns = self._scheduler.now_ns
            owed.remove(shard)
            if not owed:
                del self.unanswered[cl_ord_id]
