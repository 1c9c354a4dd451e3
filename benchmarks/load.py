"""One participant that sends as fast as its credit allows: the load of benchmarks.mesh.

Runs as a process of its own. Half of the requests are limit orders around the reference price,
the rest cancel the oldest of them, so that the book stays of one size; part of the orders trade.
Every request has exactly one answer counted: New, Rejected, Canceled or OrderCancelReject.
"""

import json
import random
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import zmq
from rtes.client.connection import open_socket
from rtes.client.credentials import Credentials

WINDOW = 900  # below the session's credit of 1,000
OPEN_MAX = 200
ANSWERS = ("0", "8", "4")
decode = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode
decode_one = msgspec.msgpack.Decoder(tuple[Any, ...]).decode
encode = msgspec.msgpack.Encoder().encode


class Load:
    """Requests of one account, and how many were answered."""

    def __init__(
        self, endpoint: str, key_file: Path, symbols: list[tuple[str, int]], seed: int
    ) -> None:
        credentials = Credentials.load(key_file)
        self.random = random.Random(seed)
        self.symbols = symbols
        self.socket = open_socket(endpoint, credentials, zmq.Context.instance())
        self.next_id = 1
        self.sent = 0
        self.answered = 0
        self.open: deque[tuple[int, str]] = deque()
        self.socket.send(encode(["A", credentials.account]))
        self._wait_logon()

    def _wait_logon(self) -> None:
        while self.socket.poll(10_000):
            frame = self.socket.recv()
            rows = decode(frame) if frame[1] & 0xF0 == 0x90 or frame[1] == 0xDC else []
            for row in rows:
                if row[0] == "A":
                    self.next_id = row[3] + 1
                    return
        raise SystemExit("no answer to Logon")

    def request(self) -> tuple[Any, ...]:
        """An order, or the cancel of the oldest once enough are open."""
        cl_ord_id = self.next_id
        self.next_id += 1
        if len(self.open) >= OPEN_MAX:
            orig, symbol = self.open.popleft()
            return ("F", cl_ord_id, symbol, orig)
        roll = self.random.random
        symbol, center = self.symbols[int(roll() * len(self.symbols))]
        buy = roll() < 0.5
        distance = int(roll() * 20) - 1  # one in twenty crosses
        price = center - distance if buy else center + distance
        self.open.append((cl_ord_id, symbol))
        return ("D", cl_ord_id, symbol, "1" if buy else "2", 1 + int(roll() * 9), "2", price)

    def receive(self, timeout_ms: int) -> None:
        if not self.socket.poll(timeout_ms):
            return
        try:
            while True:
                self._count(self.socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            pass

    def _count(self, frame: bytes) -> None:
        first = frame[1] if frame[0] & 0xF0 == 0x90 else frame[3]
        if first & 0xE0 == 0xA0:
            row = decode_one(frame)
            raise SystemExit(f"refused at the edge: {row}")
        for row in decode(frame):
            if (row[0] == "8" and row[3] in ANSWERS) or row[0] == "9":
                self.answered += 1

    def run(self, seconds: float, per_frame: int) -> tuple[int, float]:
        """Answers counted and the time they took, warm-up of half a second excluded."""
        start = time.perf_counter() + 0.5
        base = 0
        began = False
        while (now := time.perf_counter()) < start + seconds:
            if not began and now >= start:
                began, base, start = True, self.answered, now
            room = WINDOW - (self.sent - self.answered)
            while room >= per_frame:
                batch = [self.request() for _ in range(per_frame)]
                self.socket.send(encode(batch[0] if per_frame == 1 else batch))
                self.sent += per_frame
                room -= per_frame
            self.receive(100)
        return self.answered - base, time.perf_counter() - start


def main() -> None:
    spec = json.loads(sys.argv[1])
    load = Load(spec["endpoint"], Path(spec["key"]), spec["symbols"], spec["seed"])
    print("ready", flush=True)
    sys.stdin.readline()
    answered, seconds = load.run(spec["seconds"], spec["per_frame"])
    print(json.dumps({"answered": answered, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
