"""The participants of a benchmark: one in a process of its own that floods, or some at fixed rates.

Half of the requests are limit orders around the reference price, the rest cancel the oldest of
them, so that the book stays of one size; part of the orders trade. Every request has exactly one
answer counted (New, Rejected, Canceled or OrderCancelReject), in the order of the requests. At a
fixed rate, latency counts from when a request was due, not from when it was sent.
"""

import json
import random
import select
import sys
import time
from collections import deque
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any, Protocol

import msgspec
import zmq
from rtes.client.connection import open_socket
from rtes.client.credentials import Credentials
from rtes.common.enums import CancelOnDisconnect
from rtes.common.messages import PROTOCOL_VERSION

WINDOW = 900  # below the session's credit of 1,000
OPEN_MAX = 200
WARM_UP_S = 0.5
SILENCE_S = 5.0  # without an answer that is due: there will be none, however busy the machine
NULL_BYTES = 44  # of one request in the null mesh, as many as an order has
ANSWERS = frozenset("084")
HEART_BT_INT_S = 30
LEAVE_NOTHING = int(CancelOnDisconnect.EVERYTHING)  # every run begins with books of its own


class Row(msgspec.Struct, array_like=True, gc=False):
    """As much of a report as says whether it answers a request."""

    kind: str
    shard: Any = 0
    number: Any = 0
    what: Any = 0


_decode_rows = msgspec.msgpack.Decoder(list[Row]).decode
_decode = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode
_decode_one = msgspec.msgpack.Decoder(tuple[Any, ...]).decode
_encode = msgspec.msgpack.Encoder().encode


class Peer(Protocol):
    """What is being loaded."""

    socket: Any

    def request(self, per_frame: int) -> bytes:
        """The next frame."""

    def count(self, frame: bytes) -> int:
        """How many requests a frame answers."""

    def matched_ns(self, frame: bytes) -> list[int]:
        """When the matcher took each of the requests that a frame answers; 0: it does not say."""


class Null:
    """The null mesh sends back what it gets."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.socket = open_socket(spec["endpoint"], Credentials.load(Path(spec["key"])), _context())

    def request(self, per_frame: int) -> bytes:
        return b"x" * (NULL_BYTES * per_frame)

    def count(self, frame: bytes) -> int:
        return len(frame) // NULL_BYTES

    def matched_ns(self, frame: bytes) -> list[int]:
        return [0] * self.count(frame)


class Exchange:
    """The product, as participants see it."""

    def __init__(self, spec: dict[str, Any]) -> None:
        credentials = Credentials.load(Path(spec["key"]))
        self.socket = open_socket(spec["endpoint"], credentials, _context())
        self._roll = random.Random(spec["seed"]).random
        self._symbols = spec["symbols"]
        self._next_id = 1
        self._open: deque[tuple[int, str]] = deque()
        logon = ("A", credentials.account, PROTOCOL_VERSION, HEART_BT_INT_S, LEAVE_NOTHING)
        self.socket.send(_encode(logon))
        self._wait_logon()

    def _wait_logon(self) -> None:
        """Until every shard has answered."""
        answered = 0
        while self.socket.poll(10_000):
            frame = self.socket.recv()
            rows = _decode(frame) if frame[1] & 0xF0 == 0x90 or frame[1] == 0xDC else []
            for row in rows:
                if row[0] == "A":
                    self._next_id = max(self._next_id, row[3] + 1)
                    answered += 1
                    if answered == row[7]:
                        return
        raise SystemExit("no answer to Logon")

    def request(self, per_frame: int) -> bytes:
        if per_frame == 1:
            return _encode(self._next())
        return _encode([self._next() for _ in range(per_frame)])

    def _next(self) -> tuple[Any, ...]:
        """An order, or the cancel of the oldest once enough are open."""
        cl_ord_id = self._next_id
        self._next_id += 1
        if len(self._open) >= OPEN_MAX:
            orig, symbol = self._open.popleft()
            return ("F", cl_ord_id, symbol, orig)
        roll = self._roll
        symbol, center = self._symbols[int(roll() * len(self._symbols))]
        buy = roll() < 0.5
        distance = int(roll() * 20) - 1  # one in twenty crosses
        price = center - distance if buy else center + distance
        self._open.append((cl_ord_id, symbol))
        return ("D", cl_ord_id, symbol, "1" if buy else "2", 1 + int(roll() * 9), "2", price)

    def count(self, frame: bytes) -> int:
        _refuse_rejects(frame)
        answered = 0
        for row in _decode_rows(frame):  # a generator would take twice as long
            if row.what in ANSWERS or row.kind == "9":
                answered += 1
        return answered

    def matched_ns(self, frame: bytes) -> list[int]:
        _refuse_rejects(frame)
        return [
            row[12]
            for row in _decode(frame)
            if (row[0] == "8" and row[3] in ANSWERS) or row[0] == "9"
        ]


def _context() -> Any:
    return zmq.Context.instance()


def _refuse_rejects(frame: bytes) -> None:
    """A message of its own is a refusal at the edge: the load was wrong, or too much."""
    first = frame[1] if frame[0] & 0xF0 == 0x90 else frame[3]
    if first & 0xE0 == 0xA0:
        row = _decode_one(frame)
        if row[0] not in ("0", "1"):
            raise SystemExit(f"refused at the edge: {row}")


def flood(peer: Peer, seconds: float, per_frame: int, ahead: int) -> dict[str, Any]:
    """As fast as the window allows. Frames for `ahead` requests are made before it begins, so
    that what is measured is the exchange more than its client."""
    ready = deque(peer.request(per_frame) for _ in range(ahead // per_frame))
    _wait_go()
    socket, sent, answered, base = peer.socket, 0, 0, 0
    start = time.perf_counter() + WARM_UP_S
    began = False
    while (now := time.perf_counter()) < start + seconds:
        if not began and now >= start:
            began, base, start = True, answered, now
        for _ in range((WINDOW - (sent - answered)) // per_frame):
            socket.send(ready.popleft() if ready else peer.request(per_frame))
            sent += per_frame
        if not socket.poll(100):
            continue
        try:
            while True:
                answered += peer.count(socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            pass
    return {"answered": answered - base, "seconds": time.perf_counter() - start}


class Pace:
    """Requests of one participant that are due at fixed times, whatever became of those before.
    Answers are only counted and kept as they come; what they say is looked into when the load is
    over, so that the exchange need not share its cores with that."""

    def __init__(self, peer: Peer, per_s: float, seconds: float, per_frame: int) -> None:
        self._peer = peer
        self._gap_s = per_frame / per_s
        frames = int(seconds / self._gap_s)
        self._ready = deque(peer.request(per_frame) for _ in range(frames))
        self._warm_up = int(WARM_UP_S / self._gap_s) * per_frame
        self._per_frame = per_frame
        self._next_s = 0.0
        self._late_s = 0.0
        self._dues: list[float] = []  # of each frame sent
        self._came: list[tuple[float, bytes]] = []  # when, frame
        self._answered = 0
        self.fd: int = peer.socket.get(zmq.FD)

    def begin(self, now_s: float, roll: Callable[[], float]) -> None:
        """The first is due within one gap: participants do not keep step."""
        self._next_s = now_s + roll() * self._gap_s

    @property
    def over(self) -> bool:
        return not self._ready and self._waiting() <= 0

    def wakes_s(self) -> float:
        """When the next is due; never when only an answer changes anything: all are sent, or the
        window is full. A request waits here then, and its time counts from when it was due."""
        full = self._waiting() + self._per_frame > WINDOW
        return inf if full or not self._ready else self._next_s

    def send_due(self, now_s: float) -> None:
        while self.wakes_s() <= now_s:
            self._peer.socket.send(self._ready.popleft())
            self._dues.append(self._next_s)
            self._late_s = max(self._late_s, now_s - self._next_s)
            self._next_s += self._gap_s
            self.drain()  # sending may have taken in the news that fd would have told

    def drain(self) -> None:
        peer = self._peer
        try:
            while True:
                frame = peer.socket.recv(zmq.NOBLOCK)
                self._came.append((time.time(), frame))
                self._answered += peer.count(frame)
        except zmq.Again:
            pass

    def _waiting(self) -> int:
        return len(self._dues) * self._per_frame - self._answered

    def result(self) -> dict[str, Any]:
        late_us = self._late_s * 1e6
        return {**self._times(self._dues), "unanswered": self._waiting(), "late_us": late_us}

    def _times(self, dues: list[float]) -> dict[str, list[float]]:
        """Of each request after the warm-up: all of it, and by stage where times are known."""
        due = (s for frame_s in dues for s in (frame_s,) * self._per_frame)
        total_us, to_match_us, to_client_us = [], [], []
        seen = 0
        for came_s, frame in self._came:
            for matched_ns in self._peer.matched_ns(frame):
                due_s, matched_s = next(due), matched_ns / 1e9
                seen += 1
                if seen <= self._warm_up:
                    continue
                total_us.append(round((came_s - due_s) * 1e6, 1))
                if matched_ns:
                    to_match_us.append(round((matched_s - due_s) * 1e6, 1))
                    to_client_us.append(round((came_s - matched_s) * 1e6, 1))
        return {"total_us": total_us, "to_match_us": to_match_us, "to_client_us": to_client_us}


def keep_pace(paces: list[Pace], seed: int) -> None:
    """Until all is answered, or nothing comes any more."""
    roll = random.Random(seed).random
    by_fd = {pace.fd: pace for pace in paces}
    _wait_go()
    for pace in paces:
        pace.begin(time.time(), roll)
    while not all(pace.over for pace in paces):
        now_s = time.time()
        for pace in paces:
            pace.send_due(now_s)
        wait_s = min(pace.wakes_s() for pace in paces) - time.time()
        if wait_s <= 0:
            continue
        found = select.select(by_fd, [], [], min(wait_s, SILENCE_S))[0]
        if not found and wait_s == inf:
            return
        for fd in found:
            by_fd[fd].drain()


def _wait_go() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def main() -> None:
    specs = json.loads(sys.argv[1])
    peers: list[Peer] = [Null(spec) if spec["null"] else Exchange(spec) for spec in specs]
    first = specs[0]
    seconds, per_frame = first["seconds"], first["per_frame"]
    if first["per_s"]:
        paces = [Pace(peer, first["per_s"], seconds, per_frame) for peer in peers]
        keep_pace(paces, first["seed"])
        results = [pace.result() for pace in paces]
    else:
        results = [flood(peer, seconds, per_frame, first["ahead"]) for peer in peers]
    print(json.dumps(results), flush=True)


if __name__ == "__main__":
    main()
