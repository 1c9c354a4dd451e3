"""What market data carries to 1, 10 and 100 subscribers, and what that costs an order.

    python -m benchmarks.market_data [--subscribers N]... [--json]

One client sends orders at a fixed rate; each subscriber is a socket of its own, under CURVE, that
takes everything of every symbol, and all of them are read by one process of lower priority, so
that the reading itself costs the orders as little as on machines of their own. Rounds without
subscribers are interleaved with those with them.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import click
import zmq
from rich.table import Table
from rtes.benchmarks.driver import Target, cpu_us, drive, percentiles
from rtes.benchmarks.harness import environment, interleaved, median, show
from rtes.benchmarks.mesh import exchange
from rtes.client.credentials import Credentials

NICE: Final = 15
GOAL_P99_RATIO: Final = 1.10  # with 10 subscribers
FROM_ONE_ADDRESS: Final = 32
CONNECT_S: Final = 60.0


def subscribe(endpoint: str, key: str, number: int) -> "zmq.Socket[bytes]":
    """A socket that takes everything; the exchange takes only so many from one address."""
    credentials = Credentials.load(Path(key))
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.curve_publickey = credentials.public_key.encode()
    socket.curve_secretkey = credentials.secret_key.encode()
    socket.curve_serverkey = credentials.server_key.encode()
    socket.subscribe(b"")
    source = f"127.0.0.{1 + number // FROM_ONE_ADDRESS}:0"
    socket.connect(endpoint.replace("://", f"://{source};"))
    return socket


def drain(socket: "zmq.Socket[bytes]") -> int:
    """How many messages waited; each is a topic and a payload."""
    found = 0
    try:
        while True:
            socket.recv(zmq.NOBLOCK)
            socket.recv()
            found += 1
    except zmq.Again:
        return found


def read(endpoint: str, key: str, count: int) -> None:
    """The subscribers' process. Each line of its input makes it say what each has so far."""
    os.nice(NICE)
    sockets = [subscribe(endpoint, key, i) for i in range(count)]
    counts, index = [0] * count, {socket: i for i, socket in enumerate(sockets)}
    polled: list[Any] = [(source, zmq.POLLIN) for source in (sys.stdin.fileno(), *sockets)]
    print("ready", flush=True)
    while True:
        for ready, _ in zmq.zmq_poll(polled):
            if not isinstance(ready, int):
                counts[index[ready]] += drain(ready)
                continue
            if not sys.stdin.readline():
                return
            print(json.dumps(counts), flush=True)


class Subscribers:
    """So many subscribers in a process of their own. Use as a context manager."""

    def __init__(self, target: Target, count: int) -> None:
        assert target.config is not None
        endpoint = target.config.exchange.market_data_endpoint
        arguments = [endpoint, target.keys[1], str(count)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rtes.benchmarks.market_data", "--read", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._line()
        deadline = time.monotonic() + CONNECT_S
        while not min(self.counts()):  # a book's heartbeat is the first message
            if time.monotonic() > deadline:
                raise SystemExit(f"not all of {count} subscribers hear anything")
            time.sleep(0.2)

    def __enter__(self) -> "Subscribers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def counts(self) -> list[int]:
        """Messages that each has received."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return list(json.loads(self._line()))


def measure(target: Target, count: int, seconds: float, rate: float, seed: int) -> dict[str, float]:
    """Latency of orders, what the subscribers got, and what it cost the publisher."""
    with ExitStack() as stack:
        subscribers = stack.enter_context(Subscribers(target, count)) if count else None
        got = subscribers.counts() if subscribers else []
        cpu, began = cpu_us(target)["marketdata"], time.perf_counter()
        latency = percentiles(drive(target, 1, 1, seconds, seed, rate))
        passed = time.perf_counter() - began
        used = cpu_us(target)["marketdata"] - cpu
        then = subscribers.counts() if subscribers else []
        more = [b - a for a, b in zip(got, then, strict=True)]
    return {
        "p50_us": latency["p50_us"],
        "p99_us": latency["p99_us"],
        "messages_per_s": sum(more) / passed,
        "least_per_s": min(more, default=0) / passed,
        "publisher_cpu_percent": used / passed / 1e4,
    }


@click.command(help=__doc__)
@click.option("--subscribers", type=click.IntRange(min=1), multiple=True, default=(1, 10, 100),
              show_default=True)  # fmt: skip
@click.option("--rate", type=float, default=1_000.0, show_default=True, help="orders per second")
@click.option("--seconds", type=float, default=5.0, show_default=True, help="of one run")
@click.option("--repetitions", type=int, default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(
    subscribers: tuple[int, ...], rate: float, seconds: float, repetitions: int, as_json: bool
) -> None:
    where = environment()
    with ExitStack() as stack:
        target = exchange(stack, "never")

        def run(count: int, r: int) -> dict[str, float]:
            return measure(target, count, seconds, rate, r)

        found = interleaved((0, *subscribers), repetitions, run)
    rows = [
        {"subscribers": count} | {key: median(run[key] for run in runs) for key in runs[0]}
        for count, runs in found.items()
    ]
    for row in rows:
        row["p99_ratio"] = round(row["p99_us"] / rows[0]["p99_us"], 3)
    table = Table("subscribers", "messages/s", "of each", "publisher CPU, %",
                  "order p50, us", "order p99, us", "p99 ratio")  # fmt: skip
    for row in rows:
        keys = ("messages_per_s", "least_per_s", "publisher_cpu_percent", "p50_us", "p99_us")
        figures = [f"{row[key]:,}" for key in keys]
        table.add_row(str(row["subscribers"]), *figures, f"{row['p99_ratio']:.2f}")
    result = {"orders_per_s": rate, "goal_p99_ratio": GOAL_P99_RATIO, "rows": rows}
    show(result | {"environment": where}, as_json, table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
