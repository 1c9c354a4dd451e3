"""A participant that sends far more than it may, whatever it is told: for benchmarks.hostile.

Runs as a process of its own, which any other displaces at once, as if it had a machine for itself:
what it costs others should be what the exchange spends on it. Tells on its last line how much it
sent, and what it was told.
"""

import json
import os
import select
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import zmq
from rtes.client.connection import open_socket
from rtes.client.credentials import Credentials

BURST_S = 0.002
LOGON_AGAIN_S = 1.0  # it is closed every few seconds
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


def orders(first_id: int, count: int, symbol: str, price: int) -> bytes:
    """One frame of orders that would all rest far from the market."""
    rows = [("D", first_id + i, symbol, "1", 1, "2", price) for i in range(count)]
    return bytes(_encode(rows[0] if count == 1 else rows))


class Flooder:
    """Sends per_s messages a second in frames of per_frame."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._credentials = Credentials.load(Path(spec["key"]))
        self._socket = open_socket(spec["endpoint"], self._credentials, zmq.Context.instance())
        self._told: Counter[str] = Counter()
        self._sent = 0
        self._next_id = 1

    def run(self) -> dict[str, Any]:
        """Until standard input says something."""
        began = last_logon = due = time.perf_counter()
        self._logon()
        print("ready", flush=True)
        gap_s = self._spec["per_frame"] / self._spec["per_s"]
        while not select.select([sys.stdin], [], [], BURST_S)[0]:
            now = time.perf_counter()
            if now - last_logon >= LOGON_AGAIN_S:
                last_logon = now
                self._logon()
            while due <= now and self._send():
                due += gap_s
            due = max(due, now - 1.0)
            self._read()
        seconds = time.perf_counter() - began
        return {"sent_per_s": round(self._sent / seconds), "told": dict(self._told)}

    def _logon(self) -> None:
        self._socket.send(_encode(["A", self._credentials.account]))

    def _send(self) -> bool:
        """One frame; False when the exchange does not take it now."""
        count = self._spec["per_frame"]
        frame = orders(self._next_id, count, self._spec["symbol"], self._spec["price"])
        try:
            self._socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._next_id += count
        self._sent += count
        return True

    def _read(self) -> None:
        try:
            while True:
                rows = _decode(self._socket.recv(zmq.NOBLOCK))
                for row in rows if isinstance(rows[0], list) else [rows]:
                    self._told[row[0]] += 1
        except zmq.Again:
            pass


def main() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    print(json.dumps(Flooder(json.loads(sys.argv[1])).run()), flush=True)


if __name__ == "__main__":
    main()
