"""The bots' shell against the real exchange: a market comes up, survives a killed gateway and
matcher, and is gone when the bots are told to stop."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtes.client import Client, MarketData
from rtes.client.testing import Mesh
from rtes.common.enums import Channel, PartyAction
from rtes.common.marketdata import Trade
from rtes.common.messages import PartyActionRequest

from tests.meshes import connect, wait_for

pytestmark = pytest.mark.mesh

GROUPS = [{"strategy": "market_maker", "count": 2}, {"strategy": "liquidity_taker", "count": 2}]
FAST = ["--rate", "200"]


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    services = ("matcher", "archive", "risk", "gateway", "marketdata")
    with Mesh(tmp_path, services, bots={"groups": GROUPS}) as made:
        yield made


@pytest.fixture
def feed(mesh: Mesh) -> Iterator[MarketData]:
    with connect(mesh, "DEMO1") as client:
        symbols = list(client.instruments())
        with client.market_data(symbols, [Channel.TOP, Channel.TRADES]) as made:
            yield made


def start(mesh: Mesh, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", "from rtes.client.cli import main; main()", "bots", "run"]
    return subprocess.Popen(
        [*command, "--profile", str(mesh.config_file), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_trades(feed: MarketData, count: int) -> None:
    seen = 0

    def enough() -> bool:
        nonlocal seen
        seen += sum(isinstance(event, Trade) for event in feed.poll(0.1))
        return seen >= count

    wait_for(enough)


def quoted(feed: MarketData) -> bool:
    """Every book has both sides."""
    feed.poll(0.1)
    tops = [view.top for view in feed.books.values()]
    return all(top is not None and top.bid_px and top.offer_px for top in tops)


def empty(feed: MarketData) -> bool:
    feed.poll(0.1)
    tops = [view.top for view in feed.books.values()]
    return all(top is None or not (top.bid_px or top.offer_px) for top in tops)


def test_a_market_comes_up_survives_and_ends_clean(mesh: Mesh, feed: MarketData) -> None:
    bots = start(mesh, *FAST)
    try:
        wait_for(lambda: quoted(feed))
        wait_for_trades(feed, 20)
        for service in ("gateway", "matcher"):
            mesh.restart(service)
            mesh.wait_ready()
            wait_for_trades(feed, 20)
        bots.send_signal(signal.SIGTERM)
        output, log = bots.communicate(timeout=10)
    finally:
        bots.kill()
    assert bots.returncode == 0, log
    assert output.startswith("4 bots sent ")
    assert output.endswith("refused: none\n"), log
    wait_for(lambda: empty(feed))


def test_the_exchange_may_come_later_and_a_run_may_be_short(mesh: Mesh, feed: MarketData) -> None:
    mesh.kill("gateway")
    bots = start(mesh, *FAST, "--duration", "14", "--json")  # some of it for the gateway's start
    try:
        assert bots.stderr is not None
        assert "waiting for the exchange" in bots.stderr.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            bots.wait(3)
        mesh.start("gateway")
        mesh.wait_ready()
        wait_for_trades(feed, 1)
        output, log = bots.communicate(timeout=30)
    finally:
        bots.kill()
    assert '"bots": 4' in output
    assert "waiting for the exchange" not in log, "it says so once"
    wait_for(lambda: empty(feed))


def test_a_bot_that_is_refused_rests(mesh: Mesh) -> None:
    with connect(mesh, "OPS") as operator:
        suspend(operator, "BOT01")
        bots = start(mesh, "--strategy", "market_maker:1", "--duration", "4", *FAST)
        _, log = bots.communicate(timeout=20)
    assert log.count("BOT01 was refused: account is suspended") == 1
    assert bots.returncode == 0


def suspend(operator: Client, account: str) -> None:
    operator.ask(PartyActionRequest(operator.next_id(), PartyAction.SUSPEND, account))


@pytest.mark.parametrize(
    ("option", "why"), [("nose:1", "no strategy 'nose'"), ("noise:x", "NAME:COUNT")]
)
def test_wrong_use_says_what_to_do(mesh: Mesh, option: str, why: str) -> None:
    _, log = start(mesh, "--strategy", option).communicate(timeout=10)
    assert why in log
