"""Two gateways, two risk shards and two matcher shards as real processes: one exchange to those who
trade there, whichever gateway they use and whichever shard dies.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rtes.client import AsyncClient, Client, Credentials, MarketData, NotConnected, connection
from rtes.client.testing import SERVICES, Mesh
from rtes.common import messages as m
from rtes.common.enums import OrdStatus, Side, TimeInForce

from tests.meshes import (
    Reckoning,
    check_once,
    check_trades,
    connect,
    own_positions,
    told,
    until,
    wait_for,
)

pytestmark = pytest.mark.mesh
PX = {"AAPL": 58_574, "MSFT": 3_070}
BOTH = list(PX)  # AAPL is on matcher shard 0, MSFT on 1
COUNTS = {"gateways": 2, "risk_shards": 2, "matcher_shards": 2}
BUYER, SELLER = "DEMO1", "DEMO2"  # of risk shards 1 and 0


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    directory = tmp_path_factory.mktemp("mesh")
    with Mesh(directory, (*SERVICES, "marketdata"), mesh=COUNTS) as running:
        yield running


def at(mesh: Mesh, account: str, gateway: int) -> Client:
    """A session of an account through one of the gateways."""
    return connect(mesh, account, endpoint=mesh.config.exchange.instance(gateway).orders_endpoint)


@pytest.fixture
def buyer(mesh: Mesh) -> Iterator[Client]:
    with at(mesh, BUYER, 0) as client:
        yield client
        client.cancel_all()


@pytest.fixture
def seller(mesh: Mesh) -> Iterator[Client]:
    with at(mesh, SELLER, 1) as client:
        yield client
        client.cancel_all()


def trade(buyer: Client, seller: Client, symbol: str, qty: int) -> None:
    """The seller's order rests, the buyer's takes it."""
    before = own_positions(buyer).get(symbol, 0), own_positions(seller).get(symbol, 0)
    seller.sell(symbol, qty, PX[symbol])
    buyer.buy(symbol, qty, PX[symbol])
    until(buyer, lambda: own_positions(buyer).get(symbol, 0) == before[0] + qty)
    until(seller, lambda: own_positions(seller).get(symbol, 0) == before[1] - qty)


def held(client: Client) -> dict[str, int]:
    """What risk says that the account holds."""
    return {row.symbol: row.net_qty for row in client.account_usage() if row.symbol}


def holds(client: Client, expected: dict[str, int]) -> None:
    """Until risk has heard of it all."""
    until(client, lambda: held(client) == expected)


def polled(feed: MarketData, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline, "waited in vain for market data"
        feed.poll(0.05)


def test_every_symbol_trades_through_both_gateways(
    mesh: Mesh, buyer: Client, seller: Client
) -> None:
    listed = buyer.instruments()
    assert {symbol: listed[symbol].appl_id for symbol in PX} == {"AAPL": 0, "MSFT": 1}
    before = held(buyer)
    for symbol in BOTH:
        trade(buyer, seller, symbol, 3)
    for symbol in BOTH:
        trade(seller, buyer, symbol, 1)
    for client, net in ((buyer, 2), (seller, -2)):
        sign = 1 if client is buyer else -1
        holds(client, {s: sign * before.get(s, 0) + net for s in BOTH})


def test_market_data_of_every_shard_comes_from_one_call(
    mesh: Mesh, buyer: Client, seller: Client
) -> None:
    rows = buyer.instruments()
    endpoints = [mesh.config.exchange.instance(n).market_data_endpoint for n in (0, 1)]
    assert [rows[symbol].market_data_endpoint for symbol in BOTH] == endpoints
    assert len(set(endpoints)) == 2
    with seller.market_data(BOTH, ["top", "depth", "trades", "orders"]) as feed:
        for symbol in BOTH:
            buyer.buy(symbol, 4, PX[symbol] - 2)
        books = feed.books
        polled(feed, lambda: all(books[s].bids == [(PX[s] - 2, 4, 1)] for s in BOTH))
        for symbol in BOTH:
            trade(buyer, seller, symbol, 2)
        polled(feed, lambda: all(b.last_trade is not None for b in books.values()))
        polled(feed, lambda: not feed.stale)
        assert feed.frames_bad == 0


@pytest.mark.parametrize("program", ["matcher1", "risk1", "gateway1", "archive1", "marketdata1"])
def test_a_shard_dies_and_all_goes_on(
    mesh: Mesh, buyer: Client, seller: Client, program: str
) -> None:
    """The other shard's symbols trade meanwhile, unless the participant's own path died."""
    resting = [buyer.buy(symbol, 5, PX[symbol] - 3) for symbol in BOTH]
    mesh.kill(program)
    if program not in ("risk1", "gateway1"):
        trade(buyer, seller, "AAPL", 1)
    order = buyer.buy("MSFT", 7, PX["MSFT"] - 4, wait=False)
    mesh.start(program)
    mesh.wait_ready()
    until(buyer, lambda: order.status is not None)
    order.check()
    for symbol in BOTH:
        trade(buyer, seller, symbol, 1)
    assert {o.order_id for o in [*resting, order]} <= {o.order_id for o in buyer.open_orders}
    assert buyer.cancel_all() == 3


def test_who_logs_on_anew_waits_for_every_shard(mesh: Mesh) -> None:
    """Or it might use an id that one of them has seen; it is told which does not answer."""
    mesh.kill("matcher1")
    try:
        with pytest.raises(NotConnected, match="matcher shard 1 is silent"):
            Client.connect(SELLER, config=mesh.config, timeout_s=2.0)
    finally:
        mesh.start("matcher1")
        mesh.wait_ready()


def test_keys_and_the_gateways_endpoint_are_enough(
    mesh: Mesh, seller: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a host that has neither the checkout nor the exchange's configuration."""
    keys = Credentials.of("DEMO3", mesh.paths)
    endpoint = mesh.config.exchange.instance(1).orders_endpoint
    monkeypatch.setattr(connection, "running", lambda profile: pytest.fail("it looked"))
    with (
        Client.connect("DEMO3", credentials=keys, endpoint=endpoint, timeout_s=20) as client,
        client.market_data(BOTH) as feed,
    ):
        seller.sell("MSFT", 2, PX["MSFT"] + 7)
        polled(feed, lambda: feed.books["MSFT"].asks == [(PX["MSFT"] + 7, 2, 1)])
        polled(feed, lambda: not feed.stale)


def test_a_dead_gateway_is_passed_over(mesh: Mesh) -> None:
    mesh.kill("gateway")
    try:
        with Client.connect("DEMO3", config=mesh.config, timeout_s=2.0) as client:
            assert client.endpoint == mesh.config.exchange.instance(1).orders_endpoint
            assert client.buy("MSFT", 1, PX["MSFT"] - 8).status is OrdStatus.NEW
            assert client.cancel_all() == 1
        asyncio.run(passed_over(mesh))
    finally:
        mesh.start("gateway")
        mesh.wait_ready()


async def passed_over(mesh: Mesh) -> None:
    async with await AsyncClient.connect("DEMO3", config=mesh.config, timeout_s=2.0) as client:
        assert (await client.sell("AAPL", 1, PX["AAPL"] + 8)).status is OrdStatus.NEW
        assert await client.cancel_all() == 1


def test_a_mass_cancel_reaches_every_shard(mesh: Mesh, buyer: Client) -> None:
    def rest() -> None:
        for symbol in BOTH:
            buyer.buy(symbol, 1, PX[symbol] - 5)
            buyer.sell(symbol, 1, PX[symbol] + 5)

    rest()
    assert buyer.cancel_all() == 4
    assert buyer.open_orders == []
    rest()
    assert buyer.cancel_all("MSFT") == 2
    assert buyer.cancel_all(side=Side.BUY) == 1
    assert [o.symbol for o in buyer.open_orders] == ["AAPL"]


def test_a_session_is_taken_over_by_another_gateway(mesh: Mesh) -> None:
    """The newest logon wins in every shard, and knows what the older session did."""
    with at(mesh, BUYER, 0) as old:
        resting = [old.buy(symbol, 2, PX[symbol] - 6) for symbol in BOTH]
        with at(mesh, BUYER, 1) as new:
            with pytest.raises(NotConnected, match="newer"):
                old.buy("AAPL", 1, PX["AAPL"] - 6)
            for order in resting:
                new.cancel(order.cl_ord_id, order.symbol)
            assert [new.buy(s, 1, PX[s] - 6).status is not None for s in BOTH] == [True, True]
            assert new.cancel_all() == 2


def test_an_order_that_comes_after_a_newer_logon_is_not_executed(mesh: Mesh) -> None:
    """It lies at a gateway that has not heard of the logon at the other one."""
    with at(mesh, BUYER, 0) as old:
        mesh.processes["gateway"].send_signal(signal.SIGSTOP)
        late = [old.buy(symbol, 2, PX[symbol] - 6, wait=False) for symbol in BOTH]
        with at(mesh, BUYER, 1) as new:
            mesh.processes["gateway"].send_signal(signal.SIGCONT)
            for symbol, order in zip(BOTH, late, strict=True):
                assert new.buy(symbol, 3, PX[symbol] - 7).cl_ord_id == order.cl_ord_id
            with pytest.raises(NotConnected, match="newer"):
                old.cancel_all()
            new.ask(m.OrderMassStatusRequest(new.next_id()))
            assert [order.order_qty for order in new.open_orders] == [3, 3]
            new.cancel_all()


def test_the_journals_agree_with_what_was_told(mesh: Mesh, buyer: Client, seller: Client) -> None:
    """Last: each shard's journal is whole, and adds up to what risk says that each holds."""
    for client in (buyer, seller):
        expected: dict[str, int] = {}
        for shard in (0, 1):
            journal = told(mesh, mesh.paths.journal_dir(shard))
            check_trades(journal)
            check_once(journal[client.account])
            expected |= Reckoning.of(journal[client.account]).positions
        holds(client, expected)


def test_gateways_and_risk_shards_may_become_more_and_fewer(tmp_path: Path) -> None:
    """What an account holds and has open is there after each restart, from snapshots too."""
    services, journal = (*SERVICES, "snapshotter"), {"snapshot_commands": 1_000}
    held_before: dict[str, int] = {}
    for count in (1, 2, 1):
        counts = {"gateways": count, "risk_shards": count, "matcher_shards": 2}
        with (
            Mesh(tmp_path, services, mesh=counts, journal=journal) as mesh,
            at(mesh, BUYER, 0) as buyer,
            at(mesh, SELLER, count - 1) as seller,
        ):
            holds(buyer, held_before)
            assert buyer.cancel_all() == len(held_before)  # what the last mesh left open
            for symbol in BOTH:
                seller.sell(symbol, 3, PX[symbol])
                buyer.buy(symbol, 5, PX[symbol])
            held_before = {symbol: held_before.get(symbol, 0) + 3 for symbol in BOTH}
            holds(buyer, held_before)
            holds(seller, {symbol: -qty for symbol, qty in held_before.items()})
            if count == 2:
                until_snapshots(mesh, buyer, seller)
    assert "recovered" in (tmp_path / "risk.log").read_text()


def until_snapshots(mesh: Mesh, buyer: Client, seller: Client) -> None:
    """Both shards get commands enough for one, and it is written."""
    for i in range(1_000):
        symbol = BOTH[i % 2]
        buyer.buy(symbol, 1, PX[symbol] - 9, tif=TimeInForce.IOC, wait=False)
        seller.sell(symbol, 1, PX[symbol] + 9, tif=TimeInForce.IOC, wait=False)
    directories = [mesh.paths.snapshots_dir(shard) for shard in (0, 1)]
    wait_for(lambda: all(any(d.glob("*")) for d in directories))
