"""The faults found in the exchange that this one descends from, each shown not to be here.

Numbered as in the list of faults; 1, 2, 20 and 21 are about deployment, and what is not about
trading at all is left to the tests of health and of starting and stopping.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rtes.client import Client, Credentials, MarketData, Rejected, RtesError
from rtes.client.testing import SERVICES, Mesh
from rtes.common import messages as m
from rtes.common.enums import OrdStatus, OrdType, Side, TimeInForce
from rtes.common.marketdata import Trade
from rtes.common.refusals import Code
from rtes.common.storage import EXIT_ALREADY_RUNNING

from tests.meshes import Raw, connect, limit, settle, told, until, wait_for
from tests.wire import Wire

pytestmark = pytest.mark.mesh
PX = 58_574  # AAPL's reference price


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """With market data, and accounts with little room."""
    mesh = Mesh(tmp_path_factory.mktemp("ancestor"), (*SERVICES, "marketdata"))
    limit(mesh, "BOT01", open_orders_max=12)
    limit(mesh, "BOT02", credit_max=10 * PX)
    with mesh:
        yield mesh


@pytest.fixture
def one(mesh: Mesh) -> Iterator[Client]:
    with connect(mesh, "DEMO1") as client:
        yield client
        client.cancel_all()


@pytest.fixture
def other(mesh: Mesh) -> Iterator[Client]:
    with connect(mesh, "DEMO2") as client:
        yield client
        client.cancel_all()


def test_03_whatever_is_wrong_is_refused_by_name(mesh: Mesh) -> None:
    """Bad symbol, zero quantity, oversize, duplicate id, bad side, broken frame, unknown cancel:
    all were acknowledged as accepted, and no reject ever followed."""
    raw = Raw(mesh, "BOT03")
    raw.logon()
    good = ["D", 1, "AAPL", "1", 1, "2", PX - 9]
    assert isinstance(raw.ask(m.encode(good)), m.ExecutionReport)
    wrong: list[tuple[bytes, Code]] = [
        (m.encode(["D", 2, "NOPE", "1", 1, "2", PX]), Code.UNKNOWN_SYMBOL),
        (m.encode(["D", 3, "AAPL", "1", 0, "2", PX]), Code.INVALID_VALUE),
        (m.encode(["D", 4, "AAPL", "1", 100_001, "2", PX]), Code.ORDER_SIZE),
        (m.encode(["D", 1, "AAPL", "1", 2, "2", PX - 9]), Code.ID_REUSED),
        (m.encode(["D", 5, "AAPL", "3", 1, "2", PX]), Code.INVALID_VALUE),
        (m.encode(good)[:-2], Code.MALFORMED),
        (m.encode(["F", 6, "AAPL", 99]), Code.UNKNOWN_ORDER),
        (m.encode(["F", 7, "AAPL", 2]), Code.TOO_LATE),
    ]
    for frame, code in wrong:
        assert getattr(raw.ask(frame), "reject_code", 0) == code
    reply = raw.ask(m.OrderCancelRequest(8, "AAPL", 1))
    assert isinstance(reply, m.ExecutionReport)
    assert reply.ord_status is OrdStatus.CANCELED
    raw.close()


def test_04_what_a_market_order_leaves_never_rests(one: Client, other: Client) -> None:
    """It rested at price 0 and later traded at 0.00."""
    other.sell("AAPL", 3, PX)
    order = one.buy("AAPL", 10)
    until(one, lambda: order.done)
    assert (order.status, order.cum, order.avg_px) == (OrdStatus.CANCELED, 3, PX)
    assert one.buy("AAPL", 1).status is OrdStatus.CANCELED  # an empty book
    resting = other.sell("AAPL", 5, PX - 100)
    other.poll(0.1)
    assert resting.cum == 0


def test_05_no_slot_leaks(mesh: Mesh, other: Client) -> None:
    """Filled aggressors and risk rejects used up a pool until everything was refused."""
    with connect(mesh, "BOT01") as client:
        for _ in range(20):
            other.sell("AAPL", 1, PX)
            assert client.buy("AAPL", 1, PX).cum == 1
            with pytest.raises(Rejected):
                client.buy("AAPL", 100_001, PX)
            client.buy("AAPL", 1, PX + 9, tif=TimeInForce.IOC)
        wait_for(lambda: client.account_usage()[-1].open_orders == 0)
        for _ in range(12):
            client.buy("AAPL", 1, PX - 9)
        client.cancel_all()


def test_06_credit_comes_back_with_the_order(mesh: Mesh) -> None:
    """Orders placed and cancelled counted for a lifetime."""
    with connect(mesh, "BOT02") as client:
        for _ in range(30):
            client.cancel(client.buy("AAPL", 10, PX))
            # risk follows the matcher: it may know of the cancel a moment after the client
            wait_for(lambda: client.account_usage()[-1].credit_used == 0)
        assert client.account_usage()[-1].credit_max == 10 * PX


def test_07_an_order_is_its_owners(one: Client, other: Client) -> None:
    """Anyone could cancel anyone's order."""
    order = one.sell("AAPL", 5, PX)
    for orig in (order.cl_ord_id, order.order_id):
        with pytest.raises(Rejected):
            other.cancel(orig, "AAPL")
        message = m.OrderCancelReplaceRequest(other.next_id(), "AAPL", orig, 1, PX)
        with pytest.raises(Rejected):
            other.ask(message)
    other.cancel_all()
    one.poll(0.1)
    assert (order.status, order.leaves) == (OrdStatus.NEW, 5)


def test_08_a_slow_reader_harms_nobody(mesh: Mesh, other: Client) -> None:
    """It corrupted the framing of its own stream. Here it reads nothing for 3,000 trades."""
    with connect(mesh, "BOT04") as slow:
        order = slow.sell("AAPL", 3_000, PX)
        for _ in range(3_000):
            other.buy("AAPL", 1, PX, wait=False)
        settle(other)
        assert order.cum == 0
        until(slow, lambda: order.status is OrdStatus.FILLED)
        trades = [r for r in told(mesh)["BOT04"] if isinstance(r, m.ExecutionReport)]
        assert [t.cum_qty for t in trades] == list(range(3_001))


def prices(client: Client, symbol: str) -> MarketData:
    """Of a symbol that no other test trades: what happened before may not have been told yet."""
    feed = client.market_data([symbol], ("top", "depth", "trades"))
    polled(feed, lambda: not feed.stale)
    return feed


def polled(feed: MarketData, done: Callable[[], bool]) -> list[object]:
    """Poll until done() says so; the events until then."""
    events: list[object] = []

    def more() -> bool:
        events.extend(feed.poll(0.02))
        return done()

    wait_for(more)
    return events


def test_09_a_lost_message_shows(mesh: Mesh, one: Client, other: Client) -> None:
    """A third of the market data was lost, and no gap showed it. Here each message is numbered;
    a subscriber that was cut off learns what it missed."""
    with prices(one, "MSFT") as feed:
        book = feed.books["MSFT"]
        one.sell("MSFT", 50, 3_070)
        polled(feed, lambda: bool(book.asks))
        for _ in range(25):
            other.buy("MSFT", 1, 3_070)
        mesh.restart("marketdata")
        for _ in range(25):
            other.buy("MSFT", 1, 3_070)

        def all_told() -> bool:  # by different topics
            last = book.last_trade
            return not (feed.stale or book.asks) and last is not None and last.rpt_seq == 50

        events = polled(feed, all_told)
        numbers = [e.rpt_seq for e in events if isinstance(e, Trade)]
        assert numbers == list(range(1, 51))


def probe(mesh: Mesh, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(mesh.config.http_url + path, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def metric(mesh: Mesh, name: str) -> float:
    lines = probe(mesh, "/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_10_metrics_count_and_probes_tell_the_truth(tmp_path: Path) -> None:
    """Metrics never changed, health was always healthy, every probe answered 200."""
    with Mesh(tmp_path, ()) as mesh:
        mesh.start("health")
        wait_for(lambda: probe(mesh, "/live")[0] == 200)
        assert probe(mesh, "/ready")[0] == 503
        assert probe(mesh, "/startup")[0] == 503
        for service in (*SERVICES, "marketdata", "snapshotter"):
            mesh.start(service)
        wait_for(lambda: probe(mesh, "/startup")[0] == 200)
        with connect(mesh, "DEMO1") as client:
            for _ in range(5):
                client.buy("AAPL", 1, PX - 9)
        wait_for(lambda: metric(mesh, 'rtes_orders_total{outcome="taken"') == 5)
        mesh.kill("risk")
        wait_for(lambda: probe(mesh, "/health")[0] == 503)
        assert json.loads(probe(mesh, "/health")[1])["status"] == "unhealthy"
        assert probe(mesh, "/live")[0] == 200
        mesh.start("risk")
        wait_for(lambda: probe(mesh, "/ready")[0] == 200)


def test_11_collar_aggressor_and_top_are_right(mesh: Mesh, one: Client, other: Client) -> None:
    """The collar had no reference price, the aggressor was always a buyer, and best bid and offer
    missed changes of quantity."""
    with pytest.raises(Rejected) as refused:
        one.buy("TSLA", 1, 3_379 * 2)
    assert refused.value.code is Code.PRICE_BAND
    one.buy("TSLA", 1, 3_600)
    other.sell("TSLA", 1, 3_600)  # the band follows the last trade
    one.buy("TSLA", 1, 3_900)
    with prices(one, "GOOGL") as feed:
        book = feed.books["GOOGL"]
        bid = one.buy("GOOGL", 5, 57_770 - 1)
        one.sell("GOOGL", 5, 57_770 + 1)
        one.replace(bid, qty=4)
        polled(feed, lambda: book.top is not None and book.top.bid_size == 4)
        other.sell("GOOGL", 1, 57_770 - 1)
        other.buy("GOOGL", 2, 57_770 + 1)

        def all_told() -> bool:  # top and trades come by different topics
            last, top = book.last_trade, book.top
            both = last is not None and last.md_entry_size == 2
            return both and top is not None and top.offer_size == 3

        events = polled(feed, all_told)
        trades = [(e.aggressor_side, e.md_entry_size) for e in events if isinstance(e, Trade)]
        assert trades == [(Side.SELL, 1), (Side.BUY, 2)]
        assert book.top is not None
        assert book.top.bid_size == 3


def script(mesh: Mesh, *lines: str) -> subprocess.Popen[str]:
    """A participant's program."""
    program = "\n".join(
        (
            "from rtes.client import Client",
            "from rtes.common.config import load",
            f"config = load({str(mesh.config_file)!r}, {{}})",
            *lines,
        )
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_12_the_documented_client_gets_its_answer(mesh: Mesh) -> None:
    program = script(
        mesh,
        'with Client.connect("DEMO3", config=config) as client:',
        f'    print(client.buy("AAPL", 1, {PX - 9}).status.name)',
        "    print(client.cancel_all())",
    )
    assert program.communicate(timeout=20)[0] == "NEW\n1\n"
    assert program.returncode == 0


def test_13_localhost_works_and_clients_end(mesh: Mesh) -> None:
    """`localhost` failed, and clients hung at exit: here one leaves while the gateway hangs."""
    endpoint = f"tcp://localhost:{mesh.config.exchange.ports['orders']}"
    program = script(
        mesh,
        f'client = Client.connect("DEMO3", config=config, endpoint={endpoint!r})',
        "print('connected', flush=True)",
        "input()",
        f'for _ in range(500): client.buy("AAPL", 1, {PX - 9}, wait=False)',
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "connected\n"
    os.kill(mesh.processes["gateway"].pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        program.communicate("\n", timeout=10)
        assert time.monotonic() - start < 5
        assert program.returncode == 0
    finally:
        os.kill(mesh.processes["gateway"].pid, signal.SIGCONT)
    with connect(mesh, "DEMO3") as client:
        client.cancel_all()


def test_14_every_line_is_logged(mesh: Mesh) -> None:
    """All but one line a second was dropped, errors included."""
    for _ in range(2):
        mesh.restart("matcher")
        mesh.wait_ready()
    lines = [line for line in mesh.log("matcher").splitlines() if "recovered" in line]
    assert [line.split("epoch=")[1].split()[0] for line in lines[:3]] == ["1", "2", "3"]


def test_15_nothing_is_read_or_changed_on_the_way(mesh: Mesh) -> None:
    """Encryption had no authentication: tampering went unnoticed. Here the changed order is never
    seen, and the client's own, sent again, is executed once as it was meant."""
    wire = Wire(mesh.config.exchange.ports["orders"])
    with connect(mesh, "BOT05", endpoint=wire.endpoint) as client:
        client.buy("AAPL", 1_234, PX - 9)
        wire.tamper = True
        order = client.buy("AAPL", 1_235, PX - 9)
        assert not wire.tamper
        assert (order.order_qty, order.leaves) == (1_235, 1_235)
        assert client.cancel_all() == 2
    wire.close()
    assert b"AAPL" not in wire.seen
    assert b"BOT05" not in wire.seen


def test_15_keys_are_whole_and_secret(mesh: Mesh) -> None:
    """A key of five characters was accepted, and secrets were logged."""
    known = Credentials.of("BOT05", mesh.paths)
    for key in ("short", known.secret_key + "x", " " * 40):
        with pytest.raises(RtesError, match="secret_key"):
            replace(known, secret_key=key)
    secrets = [json.loads(p.read_text())["secret_key"] for p in mesh.paths.keys_dir.iterdir()]
    logs = "".join(mesh.log(service) for service in mesh.services)
    assert not [s for s in secrets if s in logs]
    for path in mesh.paths.keys_dir.iterdir():
        assert path.stat().st_mode & 0o077 == 0


def test_16_and_18_one_instance_and_its_lock_goes_with_it(mesh: Mesh) -> None:
    """A lock was never released, and two instances shared a port with separate books."""
    seconds = [
        subprocess.Popen(
            [sys.executable, "-m", f"rtes.services.{service}", "--config", str(mesh.config_file)],
            stderr=subprocess.PIPE, text=True,
        )
        for service in mesh.services
    ]  # fmt: skip
    for ended in seconds:
        told_why = ended.communicate(timeout=20)[1]
        assert ended.returncode == EXIT_ALREADY_RUNNING
        assert "already running" in told_why
        assert len(told_why.splitlines()) == 1
    for service in mesh.services:
        mesh.restart(service)  # kill -9
    mesh.wait_ready()
    with connect(mesh, "DEMO1") as client:
        client.cancel(client.buy("AAPL", 1, PX - 9))


def test_17_ids_are_each_accounts_own(mesh: Mesh) -> None:
    """Order ids of different clients collided."""
    orders = []
    for name, qty in (("BOT06", 3), ("BOT07", 4)):
        raw = Raw(mesh, name)
        raw.logon()
        reply = raw.ask(m.NewOrderSingle(1, "AAPL", Side.BUY, qty, OrdType.LIMIT, PX - 9))
        assert isinstance(reply, m.ExecutionReport)
        orders.append((raw, reply))
    (one, first), (other, second_) = orders
    assert first.order_id != second_.order_id
    assert (first.leaves_qty, second_.leaves_qty) == (3, 4)
    one.ask(m.OrderCancelRequest(2, "AAPL", 1))
    status = other.ask(m.OrderStatusRequest(2, "AAPL", 1))
    assert isinstance(status, m.ExecutionReport)
    assert (status.order_id, status.leaves_qty) == (second_.order_id, 4)
    other.ask(m.OrderCancelRequest(3, "AAPL", 1))
    one.close()
    other.close()


def test_19_idle_costs_next_to_nothing(mesh: Mesh) -> None:
    """Idle burned every core."""
    mesh.wait_ready()
    processes = [psutil.Process(p.pid) for p in mesh.processes.values()]

    def used_s() -> float:
        return float(sum(t.user + t.system for t in (p.cpu_times() for p in processes)))

    before = used_s()
    time.sleep(1.0)
    assert used_s() - before < 0.3
