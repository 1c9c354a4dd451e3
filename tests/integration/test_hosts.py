"""An exchange on three hosts: gateway and market data on one, risk and health on another, matcher,
archive and snapshotter on the third. It trades, survives what it survives on one host, and takes
nothing from those who are not its own services.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import zmq
from rtes.client import Client, Rejected
from rtes.common import feed, link
from rtes.common.config import Config
from rtes.common.paths import Paths
from rtes.common.placement import MEMBERS, WIRES
from rtes.common.records import encode
from rtes.common.refusals import Code
from rtes.common.wiring import load_keys

from tests.chaos.network import ip
from tests.hosts import LOOPBACK, Hosts, namespaces
from tests.meshes import wait_for

pytestmark = pytest.mark.mesh
KINDS = {"matcher": zmq.PUSH, "risk": zmq.PUSH, "health": zmq.PUSH,
         "feed": zmq.SUB, "riskpub": zmq.SUB, "archive": zmq.DEALER}  # fmt: skip
# of a risk process of an epoch far away: the real one would be fenced off, and no order pass
FENCES = link.HEADER.pack(0, 1 << 62, 0, 0) + encode([])
SNAPSHOTS = {"snapshot_commands": 1_000, "durability": "never", "segment_mib": 8}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with Hosts(tmp_path_factory.mktemp("hosts"), LOOPBACK, journal=SNAPSHOTS) as hosts:
        yield hosts


def order(client: Client, side: str, qty: int, px: int) -> None:
    """Until it is taken: while services come back the gateway may say that it is busy."""
    give = client.buy if side == "buy" else client.sell
    deadline = time.monotonic() + 30
    while True:
        try:
            give("AAPL", qty, px)
            return
        except Rejected as refusal:
            if refusal.code != Code.BUSY or time.monotonic() > deadline:
                raise
            client.poll(0.05)


def trades(hosts: Hosts, qty: int) -> None:
    """Two participants trade qty, both are told, and the market is."""
    with hosts.connect("DEMO1") as buyer, hosts.connect("DEMO2") as seller:
        held = buyer.positions["AAPL"].qty if "AAPL" in buyer.positions else 0
        with buyer.market_data(["AAPL"]) as market:
            wait_for(lambda: bool(market.poll(0.02)) or not market.stale)
            order(buyer, "buy", qty, 58_600)
            order(seller, "sell", qty, 58_600)
            wait_for(lambda: bool(buyer.poll(0.02)) or buyer.positions["AAPL"].qty == held + qty)

            def shown() -> bool:
                market.poll(0.02)
                last = market.books["AAPL"].last_trade
                return last is not None and last.md_entry_size == qty

            wait_for(shown)


def comes_back(hosts: Hosts, service: str) -> None:
    """Killed, and started again: its new process says that it is ready."""
    hosts.restart(service)
    pid = hosts.processes[service].pid

    def back() -> bool:
        rows = hosts.get("/health")[1].get("services", [])
        return any((r["service"], r["pid"], r["ready"]) == (service, pid, True) for r in rows)

    wait_for(back, 60)


def test_three_hosts_trade_and_survive_kills(hosts: Hosts) -> None:
    trades(hosts, 11)
    for qty, service in enumerate(("risk", "matcher", "archive", "marketdata", "gateway"), 12):
        comes_back(hosts, service)
        trades(hosts, qty)


def test_a_start_takes_the_snapshot_of_another_host(hosts: Hosts) -> None:
    with hosts.connect("DEMO3") as client:
        for i in range(1_100):
            give = client.buy if i % 2 else client.sell
            give("AAPL", 1 + i % 5, 58_600 - i % 3, wait=i % 50 == 49)
        wait_for(lambda: "snapshot written" in hosts.log("snapshotter"), 60)
        used = client.account_usage()
    for service in ("risk", "marketdata"):
        comes_back(hosts, service)
        assert "recovered" in hosts.log(service).rpartition(" started ")[2]
    assert not (Paths(hosts.configs["B"]).run_dir / "snapshots").exists()
    with hosts.connect("DEMO3") as client:
        assert client.account_usage() == used
        client.cancel_all()


class Stranger:
    """Connects to the socket of that name, with a key or (None) without CURVE."""

    def __init__(self, config: Config, wire: str, key: tuple[str, str] | None) -> None:
        placement, port = config.mesh.placement, config.ports[f"{wire}0"]
        self.context = zmq.Context()
        self.socket = self.context.socket(KINDS[wire])
        self.socket.linger = 0
        if KINDS[wire] == zmq.SUB:
            self.socket.subscribe(b"")
        if key is not None:
            self.socket.curve_publickey, self.socket.curve_secretkey = (k.encode() for k in key)
            self.socket.curve_serverkey = load_keys(config)[WIRES[wire].binder].encode()
        self.monitor = self.socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED
            | zmq.EVENT_HANDSHAKE_FAILED_AUTH
            | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
            | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
            | zmq.EVENT_DISCONNECTED
        )
        self.socket.connect(f"tcp://{placement.host(WIRES[wire].binder)}:{port}")

    def __enter__(self) -> "Stranger":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close()
        self.context.term()

    def say(self, frame: bytes) -> None:
        """As far as there is somebody to say it to."""
        with suppress(zmq.Again):
            self.socket.send(frame, zmq.NOBLOCK)

    def let_in(self) -> bool:
        assert self.monitor.poll(10_000), "neither let in nor refused"
        event = int.from_bytes(self.monitor.recv_multipart()[0][:2], "little")
        return event == zmq.EVENT_HANDSHAKE_SUCCEEDED


def key_of(hosts: Hosts, who: str, wire: str) -> tuple[str, str] | None:
    """Public and secret key; None: no CURVE at all."""
    if who == "no key":
        return None
    if who == "random":
        public, secret = zmq.curve_keypair()
        return public.decode(), secret.decode()
    if who == "another service":  # whose place it is not to connect there
        who = f"mesh@{next(s for s in MEMBERS if s not in WIRES[wire].peers)}"
    if who == "peer":
        who = f"mesh@{WIRES[wire].peers[-1]}"
    pair = json.loads(Paths(hosts.home).key_file(who).read_text())
    return pair["public_key"], pair["secret_key"]


@pytest.mark.parametrize("who", ["random", "DEMO1", "OPS", "no key", "another service"])
@pytest.mark.parametrize("wire", KINDS)
def test_nobody_but_services_whose_place_it_is_gets_in(hosts: Hosts, wire: str, who: str) -> None:
    with Stranger(hosts.home, wire, key_of(hosts, who, wire)) as stranger:
        assert not stranger.let_in()
    with Stranger(hosts.home, wire, key_of(hosts, "peer", wire)) as known:
        assert known.let_in()


@pytest.mark.parametrize("who", ["random", "DEMO1", "no key", "another service"])
def test_what_strangers_send_is_not_taken_and_they_hear_nothing(hosts: Hosts, who: str) -> None:
    with (
        Stranger(hosts.home, "matcher", key_of(hosts, who, "matcher")) as matcher,
        Stranger(hosts.home, "risk", key_of(hosts, who, "risk")) as risk,
        Stranger(hosts.home, "feed", key_of(hosts, who, "feed")) as outcomes,
        Stranger(hosts.home, "archive", key_of(hosts, who, "archive")) as archive,
    ):
        for peer in (matcher, risk):
            peer.say(FENCES)
        archive.say(feed.replay_request(0, 1))
        trades(hosts, 21)
        assert not outcomes.socket.poll(500)
        assert not archive.socket.poll(0)


def test_the_forged_frame_would_fence_if_it_were_taken(tmp_path: Path) -> None:
    """What the test above sends does harm with the key of the service whose place it is."""
    others = {name: address.replace("127.0.0", "127.0.1") for name, address in LOOPBACK.items()}
    with Hosts(tmp_path, others) as own, own.connect("DEMO1") as client:
        client.buy("AAPL", 1, 58_000)
        with Stranger(own.home, "matcher", key_of(own, "peer", "matcher")) as risk:
            risk.say(FENCES)
            assert risk.let_in()
            client.buy("AAPL", 1, 58_000, wait=False)
            for _ in range(30):
                client.poll(0.1)
            assert client.in_flight == 1, "answered, though nobody could take it"


def test_many_connections_of_a_stranger_do_not_stop_the_matcher(hosts: Hosts) -> None:
    address = hosts.home.mesh.placement.host("matcher"), hosts.home.ports["matcher0"]
    peers = [socket.create_connection(address) for _ in range(1_100)]
    try:
        trades(hosts, 31)
    finally:
        for peer in peers:
            peer.close()


def test_another_hosts_network_namespace(tmp_path: Path) -> None:
    if os.getuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2")
    with ExitStack() as stack:
        try:
            addresses, spaces = stack.enter_context(namespaces())
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespaces here: {error}")
        hosts = stack.enter_context(Hosts(tmp_path, addresses, spaces))
        trades(hosts, 11)
        for qty, service in enumerate(("risk", "matcher"), 12):
            comes_back(hosts, service)
            trades(hosts, qty)
        ip("link", "set", spaces["C"], "down")  # the matcher's host is cut off
        time.sleep(4)
        ip("link", "set", spaces["C"], "up")
        trades(hosts, 14)
