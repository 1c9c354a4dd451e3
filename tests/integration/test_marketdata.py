"""Market data over real sockets: a subscriber's book survives whatever dies or overflows."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from click.testing import CliRunner
from rtes.client import Client, MarketData
from rtes.client import marketdata as client_marketdata
from rtes.client.cli import cli
from rtes.client.credentials import Credentials
from rtes.client.marketdata import Source
from rtes.client.testing import SERVICES, Mesh
from rtes.common.marketdata import SnapshotFullRefresh, Trade

from tests.marketdata_blocks import START_NS, Sequencer, new_core, order
from tests.meshes import connect

PX = 58_574  # AAPL's reference price
CHANNELS = ("top", "depth", "trades", "orders")


def polled(feed: MarketData, done: Callable[[], bool], timeout_s: float = 20.0) -> list[object]:
    """Poll until done() says so; the events until then."""
    events: list[object] = []
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"waited in vain; saw {events[-5:]}"
        events += feed.poll(0.02)
    return events


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """An exchange that publishes."""
    with Mesh(tmp_path_factory.mktemp("mesh"), (*SERVICES, "marketdata")) as running:
        yield running


@pytest.fixture
def client(mesh: Mesh) -> Iterator[Client]:
    with connect(mesh, "DEMO1") as connected:
        connected.cancel_all()
        yield connected
        connected.cancel_all()


@pytest.mark.mesh
def test_book_follows_trading(client: Client) -> None:
    client.sell("AAPL", 5, PX + 1, display_qty=2)
    with client.market_data(["AAPL"], CHANNELS) as feed:
        book = feed.books["AAPL"]
        polled(feed, lambda: not feed.stale and book.asks == [(PX + 1, 2, 1)])
        client.buy("AAPL", 3, PX + 1)
        client.buy("AAPL", 4, PX)
        events = polled(feed, lambda: bool(book.bids))
        events += polled(feed, lambda: book.top is not None and book.top.bid_px == PX)
        events += polled(feed, lambda: book.last_trade is not None and len(book.orders) == 2)
        trades = [e for e in events if isinstance(e, Trade)]
        assert [(t.md_entry_px, t.md_entry_size) for t in trades] == [(PX + 1, 2), (PX + 1, 1)]
        assert (book.bids, book.asks) == ([(PX, 4, 1)], [(PX + 1, 1, 1)])
        assert book.top is not None
        assert (book.top.bid_px, book.top.offer_px) == (PX, PX + 1)
        assert book.last_trade == trades[-1]


@pytest.mark.mesh
def test_without_a_terminal_a_book_is_printed_once(mesh: Mesh, client: Client) -> None:
    client.buy("AAPL", 4, PX)
    with client.market_data(["AAPL"], CHANNELS) as feed:
        polled(feed, lambda: not feed.stale and feed.books["AAPL"].bids == [(PX, 4, 1)])
    for options in ([], ["--once"], ["--once", "--json"]):
        command = ["book", "AAPL", "--profile", str(mesh.config_file), *options]
        shown = CliRunner().invoke(cli, command)
        assert shown.exit_code == 0
        assert shown.output.count("585.74") == 1


@pytest.mark.mesh
@pytest.mark.parametrize("service", ["marketdata", "matcher"])
def test_book_survives_a_kill(mesh: Mesh, client: Client, service: str) -> None:
    client.buy("AAPL", 4, PX)
    with client.market_data(["AAPL"], CHANNELS) as feed:
        book = feed.books["AAPL"]
        polled(feed, lambda: not feed.stale)
        mesh.kill(service)
        mesh.start(service)
        mesh.wait_ready()
        client.buy("AAPL", 4, PX - 1)
        polled(feed, lambda: len(book.bids) == 2 and len(book.orders) == 2 and not feed.stale)
        assert book.bids == [(PX, 4, 1), (PX - 1, 4, 1)]


@pytest.mark.mesh
def test_a_revoked_keys_market_data_ends_and_anothers_goes_on(mesh: Mesh, client: Client) -> None:
    def feed_of(account: str) -> MarketData:
        exchange, key = mesh.config.exchange, Credentials.of(account, mesh.paths)
        source = Source(exchange.market_data_endpoint, exchange.snapshots_endpoint, ["AAPL"])
        return MarketData([source], CHANNELS, key)

    with feed_of("DEMO2") as revoked, feed_of("DEMO3") as other:
        for feed in (revoked, other):
            polled(feed, lambda feed=feed: not feed.stale)  # type: ignore[misc]
        command = ["participants", "revoke", "DEMO2", "--profile", str(mesh.config_file)]
        assert CliRunner().invoke(cli, command).exit_code == 0
        deadline = time.monotonic() + 20
        while "connections ended" not in mesh.log("marketdata"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        client.buy("AAPL", 4, PX)
        polled(other, lambda: other.books["AAPL"].bids == [(PX, 4, 1)] and not other.stale)
        assert revoked.poll(2.0) == []
        assert revoked.books["AAPL"].bids == []


@pytest.mark.mesh
def test_symbol_that_is_not_listed(client: Client) -> None:
    with pytest.raises(LookupError, match="NONE is not listed"):
        client.market_data(["NONE"])


def test_subscriber_that_sleeps_misses_messages_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queues are full, the publisher drops for it and goes on: a gap, then a snapshot."""
    monkeypatch.setattr(client_marketdata, "QUEUE_FRAMES", 10)
    sequencer, core = Sequencer(), new_core()
    live, requests = f"ipc://{tmp_path}/live", f"ipc://{tmp_path}/requests"
    with (
        zmq.Context() as context,
        context.socket(zmq.PUB) as pub,
        context.socket(zmq.ROUTER) as router,
    ):
        pub.set_hwm(10)
        pub.bind(live)
        router.bind(requests)

        def publish(now_ns: int) -> None:
            core.tick(now_ns)
            for publication in core.flush(now_ns):
                pub.send_multipart(publication, zmq.NOBLOCK)
            while router.poll(0):
                routing_id, request = router.recv_multipart()
                for answer in core.handle_request(request):
                    router.send_multipart([routing_id, answer])

        with MarketData([Source(live, requests, ["AAPL"])], ["orders", "depth"]) as feed:
            book = feed.books["AAPL"]
            now_ns = START_NS
            core.handle_block(sequencer.block([order(1, 1, "1", 1, 1)]))
            while feed.stale:
                publish(now_ns)
                feed.poll(0.01)
            for n in range(2, 20_001):
                core.handle_block(sequencer.block([order(1, n, "1", 1, n)]))
                publish(now_ns)
            events: list[object] = []
            deadline = time.monotonic() + 20
            while len(book.orders) < 20_000 or feed.stale:
                assert time.monotonic() < deadline
                now_ns += 10**9
                publish(now_ns)
                events += feed.poll(0.01)
            assert book.gaps > 0
            assert any(isinstance(event, SnapshotFullRefresh) for event in events)
            assert book.bids == sequencer.engine.books["AAPL"].depth("1", 10)


@pytest.mark.mesh
def test_what_nobody_wants_is_not_published_and_who_comes_finds_it(
    mesh: Mesh, client: Client
) -> None:
    def published() -> float:
        mesh.hear(1_000)
        return float(mesh.vitals["marketdata"]["counters"]["rtes_market_data_messages_total"])

    def is_quiet() -> bool:
        before = published()
        client.buy("AAPL", 1, PX - 9)
        return published() == before == published()

    deadline = time.monotonic() + 60
    while not is_quiet():
        assert time.monotonic() < deadline, "it tells nobody what happens"
    with client.market_data(["AAPL"], CHANNELS) as feed:
        book = feed.books["AAPL"]
        polled(feed, lambda: not feed.stale)
        client.buy("AAPL", 1, PX - 8)
        polled(feed, lambda: bool(book.bids) and book.bids[0] == (PX - 8, 1, 1))
        assert book.gaps == 0
