"""The gateway's real core in one process, with the real risk and matcher cores behind it.

No sockets and no clock: time moves when a test moves it. What participants would be sent is kept
by routing id, or only counted when nobody wants to read it.
"""

from typing import Any

import msgspec
from rtes.common import messages as m
from rtes.common.connections import CUT_OFF, HANG_UP
from rtes.common.refdata import Account, Instrument, Limits
from rtes.services.gateway import core as gateway
from rtes.services.gateway.door import account_finder
from rtes.services.gateway.limits import GatewayLimits
from rtes.services.matcher import core as matcher
from rtes.services.matcher.engine import Engine
from rtes.services.risk import core as risk
from rtes.services.risk.rules import Risk

S = 1_000_000_000
START_NS = 1_700_000_000 * S
PX = 1_000
INSTRUMENTS = [Instrument(symbol=s, reference_price=PX) for s in ("AAPL", "MSFT")]
LIMITS = Limits(orders_per_s_max=1_000_000, open_orders_max=100)
ACCOUNTS = [
    Account(id=i, name=name, public_key=f"key of {name}", limits=LIMITS)
    for i, name in enumerate(("ANN", "BOB", "CAT"), 1)
]
BY_NAME = {a.name: a for a in ACCOUNTS}
_decode_one = msgspec.msgpack.Decoder(m.Outbound).decode
_decode_all = msgspec.msgpack.Decoder(list[m.Outbound]).decode


def unpacked(frame: bytes) -> list[m.Outbound]:
    """The messages of a frame to a participant."""
    try:
        return _decode_all(frame)
    except msgspec.ValidationError:
        return [_decode_one(frame)]


class Edge:
    """One gateway with everything behind it. hung_up: routing ids whose connection was ended."""

    def __init__(self, limits: GatewayLimits | None = None, keep: bool = True) -> None:
        limits = limits or GatewayLimits(64, 100, 1_000, lane_window=200)
        finder = account_finder(BY_NAME.get, check_keys=True)
        self.gateway = gateway.GatewayCore(0, 1, INSTRUMENTS, BY_NAME.get, finder, limits)
        self.gateway.refuses_unknown_keys = True
        self.risk = risk.RiskCore(0, 1, Risk(INSTRUMENTS, ACCOUNTS), [0])
        engine = Engine(0, INSTRUMENTS)
        self.matcher = matcher.MatcherCore(0, 1, engine)
        self.now_ns = S
        self.told: dict[bytes, list[m.Outbound]] = {}
        self.hung_up: list[bytes] = []
        self.frames_out = 0
        self.stopped = False  # risk and matcher do not run
        self._keep = keep
        for _ in range(4):  # everyone hears of everyone
            self.pass_time(0.25)

    def send(self, routing_id: bytes, user: str, frame: Any) -> None:
        """One frame of a participant, and all that comes of it."""
        data = frame if isinstance(frame, bytes | None) else m.encode(frame)
        self.gateway.receive(gateway.CLIENTS, [(routing_id, user, data)], self.now_ns, self.wall_ns)
        self.pump()

    def ask(self, name: str, frame: Any) -> list[m.Outbound]:
        """Send as an account, by its own key and connection; what it is told."""
        routing_id = name.encode()
        self.told.pop(routing_id, None)
        self.send(routing_id, f"key of {name}", frame)
        return self.told.get(routing_id, [])

    def logon(self, name: str) -> None:
        """Open the account's session."""
        told = self.ask(name, m.Logon(name))
        assert isinstance(told[0], m.LogonReply), told

    @property
    def wall_ns(self) -> int:
        return START_NS + self.now_ns

    def go_on(self) -> None:
        """Risk and the matcher run again, and are sent what they missed."""
        self.stopped = False
        for _ in range(4):
            self.pass_time(0.25)

    def pass_time(self, seconds: float) -> None:
        self.now_ns += int(seconds * S)
        self.gateway.tick(self.now_ns)
        if not self.stopped:
            self.risk.tick(self.now_ns)
            self.matcher.tick(self.now_ns)
        self.pump()

    def pump(self) -> None:
        """Carry frames between the cores until none is left."""
        while self._gateway() | self._behind():
            pass

    def _gateway(self) -> bool:
        core = self.gateway
        core.flush(self.now_ns, self.wall_ns)
        sent, core.outbox = core.outbox, []
        for channel, routing_id, frame in sent:
            if channel == gateway.CLIENTS and routing_id is not None:
                self._tell(routing_id, frame)
            elif channel == gateway.RISK and not self.stopped:
                self.risk.receive(risk.COMMANDS, [frame], self.now_ns, self.wall_ns)
        return bool(sent)

    def _tell(self, routing_id: bytes, frame: bytes) -> None:
        self.frames_out += 1
        if not self._keep:
            return
        if frame not in (HANG_UP, CUT_OFF):
            self.told.setdefault(routing_id, []).extend(unpacked(frame))
        else:
            self.hung_up.append(routing_id)

    def _behind(self) -> bool:
        """Risk and the matcher; the journal is memory."""
        if self.stopped:
            return False
        now_ns, wall_ns = self.now_ns, self.wall_ns
        self.risk.flush(now_ns, wall_ns)
        from_risk, self.risk.outbox = self.risk.outbox, []
        for channel, _, frame in from_risk:
            if channel == risk.MATCHER:
                self.matcher.receive(matcher.COMMANDS, [frame], now_ns, wall_ns)
            elif channel == risk.STATUS:
                self.gateway.receive(gateway.RISK_STATUS, [frame], now_ns, wall_ns)
        self.matcher.flush(now_ns, wall_ns)
        self.matcher.pending = None
        from_matcher, self.matcher.outbox = self.matcher.outbox, []
        for _, _, frame in from_matcher:
            self.risk.receive(risk.FEED, [frame], now_ns, wall_ns)
            self.gateway.receive(gateway.FEED, [frame], now_ns, wall_ns)
        return bool(from_risk or from_matcher)
