"""One participant of a benchmark, a process of its own: floods, or sends at a fixed rate.

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
SILENCE_S = 1.0  # without an answer that is due: there will be none
NULL_BYTES = 44  # of one request in the null mesh, as many as an order has
ANSWERS = ("0", "8", "4")
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
        rows = _decode_rows(frame)
        return sum((r.kind == "8" and r.what in ANSWERS) or r.kind == "9" for r in rows)

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
    """Requests that are due at fixed times, whatever became of those before. Answers are only
    counted and kept as they come; what they say is looked into when the load is over, so that
    the exchange need not share its cores with that."""

    def __init__(self, peer: Peer, per_s: float, seconds: float, per_frame: int) -> None:
        self._peer = peer
        self._gap_s = per_frame / per_s
        self._frames = int(seconds / self._gap_s)
        self._warm_up = int(WARM_UP_S / self._gap_s) * per_frame
        self._per_frame = per_frame
        self._came: list[tuple[float, bytes]] = []  # when, frame
        self._answered = 0

    def run(self) -> dict[str, Any]:
        peer, fd, per_frame = self._peer, self._peer.socket.get(zmq.FD), self._per_frame
        ready = deque(peer.request(per_frame) for _ in range(self._frames))
        dues: list[float] = []  # of each frame sent
        late_s = 0.0
        _wait_go()
        next_s = time.time()
        while ready or self._answered < len(dues) * per_frame:
            now = time.time()
            # beyond the window a request waits here; its time counts from when it was due
            while ready and next_s <= now and self._waiting(dues) + per_frame <= WINDOW:
                peer.socket.send(ready.popleft())
                dues.append(next_s)
                late_s = max(late_s, now - next_s)
                next_s += self._gap_s
            self._drain()
            full = self._waiting(dues) + per_frame > WINDOW  # then only an answer changes anything
            wait_s = next_s - time.time() if ready and not full else SILENCE_S
            if wait_s > 0 and not select.select([fd], [], [], wait_s)[0] and wait_s == SILENCE_S:
                break
        return {**self._times(dues), "unanswered": self._waiting(dues), "late_us": late_s * 1e6}

    def _waiting(self, dues: list[float]) -> int:
        return len(dues) * self._per_frame - self._answered

    def _drain(self) -> None:
        peer = self._peer
        try:
            while True:
                frame = peer.socket.recv(zmq.NOBLOCK)
                self._came.append((time.time(), frame))
                self._answered += peer.count(frame)
        except zmq.Again:
            pass

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


def _wait_go() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def main() -> None:
    spec = json.loads(sys.argv[1])
    peer: Peer = Null(spec) if spec["null"] else Exchange(spec)
    if spec["per_s"]:
        result = Pace(peer, spec["per_s"], spec["seconds"], spec["per_frame"]).run()
    else:
        result = flood(peer, spec["seconds"], spec["per_frame"], spec["ahead"])
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
