"""A subscriber that cannot keep up: it misses, asks again, and in the end takes conflated data."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from rtes.client import Client, MarketData
from rtes.client import marketdata as client_marketdata
from rtes.client.marketdata import Source
from rtes.client.pace import BEHIND_NS_MAX, GAPS_NS, Pace
from rtes.client.testing import SERVICES, Mesh
from rtes.common.marketdata import ConflatedTop, TopOfBook, encode
from rtes.common.sockets import Sockets

from tests.hostile.peers import PX
from tests.meshes import connect, settle, wait_for

S = 1_000_000_000
FRAMES_MAX = 1_000  # wait at the publisher for one subscriber
CHANNELS = ("top", "depth", "trades", "orders")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """An exchange that publishes."""
    with Mesh(tmp_path_factory.mktemp("mesh"), (*SERVICES, "marketdata")) as running:
        yield running


def trade(client: Client, orders: int) -> None:
    """One order after another, so that each is a block of its own or nearly so."""
    for i in range(orders):
        client.buy("AAPL", 1, PX - 20 - i % 10, wait=False)
        if i % 20 == 0:
            client.poll()
    settle(client)


@pytest.mark.mesh
def test_a_slow_subscriber_marks_itself_and_goes_on_conflated(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads five frames a second; another one, in the same exchange, is never marked."""
    with (
        connect(mesh, "DEMO1") as client,
        client.market_data(["AAPL"], CHANNELS) as good,
        client.market_data(["AAPL"], CHANNELS) as slow,
    ):
        wait_for(lambda: not [good.poll(0.02), slow.poll(0.02)] or not (good.stale or slow.stale))
        for _ in range(4):  # in step: this is what being on time looks like
            trade(client, 5)
            good.poll(0.1)
            slow.poll(0.1)
        assert (good.slow, slow.slow) == ("", "")
        monkeypatch.setattr(client_marketdata, "DRAIN_FRAMES_MAX", 1)
        deadline = time.monotonic() + 30
        while not slow.slow:
            assert time.monotonic() < deadline, "it was never marked"
            trade(client, 30)
            for _ in range(100):
                good.poll()
            slow.poll()
            time.sleep(0.2)
        assert slow.slow.endswith("s behind")
        monkeypatch.undo()
        assert slow.books["AAPL"].orders == {}
        client.cancel_all()
        client.buy("AAPL", 7, PX - 3)
        events: list[object] = []

        def conflated_top() -> bool:
            events.extend(slow.poll(0.05))
            top = slow.books["AAPL"].top
            return top is not None and (top.bid_px, top.bid_size) == (PX - 3, 7)

        wait_for(conflated_top)
        assert any(isinstance(e, ConflatedTop) for e in events)
        assert not any(type(e) is TopOfBook for e in events)
        while good.poll(0.2):
            pass
        assert good.slow == ""
        assert good.books["AAPL"].bids == [(PX - 3, 7, 1)]
        client.cancel_all()


def publish(sockets: Sockets, symbols: list[str], first: int, last: int) -> None:
    for rpt_seq in range(first, last + 1):
        for symbol in symbols:
            fields = ("XT", 1, rpt_seq, symbol, PX, 1, "1", rpt_seq, time.time_ns())
            sockets.send(1, b"trades." + symbol.encode(), encode([fields]))


def test_what_waits_for_a_subscriber_is_bounded_and_four_gaps_mark_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real publisher's socket with its bound, and a subscriber that sleeps through a burst."""
    monkeypatch.setattr(client_marketdata, "QUEUE_FRAMES", 100)
    sockets, endpoint = Sockets(), f"ipc://{tmp_path}/feed"
    sockets.publish(1, endpoint, outbound_frames_max=FRAMES_MAX)
    symbols = ["A", "B", "C", "D"]
    context = zmq.Context()
    answers = context.socket(zmq.ROUTER)
    port = answers.bind_to_random_port("tcp://127.0.0.1")
    source = Source(endpoint, f"tcp://127.0.0.1:{port}", symbols)
    with MarketData([source], ["trades"]) as feed:
        deadline = time.monotonic() + 20
        first = 1
        while not feed.slow:
            assert time.monotonic() < deadline, "it was never marked"
            publish(sockets, symbols, first, first + 50 * FRAMES_MAX // len(symbols))
            first += 50 * FRAMES_MAX // len(symbols) + 1
            for view in feed.books.values():  # as if its snapshot had come
                for sequencer in view._sequencers.values():
                    sequencer.restart(1, sequencer._head)
            feed.poll(0.2)
        assert "gaps within 10 s" in feed.slow
    answers.close(0)
    context.term()
    sockets.close()


def test_four_gaps_in_ten_seconds_are_too_many_three_are_not() -> None:
    pace = Pace()
    for i in range(1, 4):
        pace.drained(False, i, 2 * i * S)
    assert pace.slow == ""
    pace.drained(False, 4, GAPS_NS + 2 * S)  # the first is forgotten
    assert pace.slow == ""
    pace.drained(False, 4, GAPS_NS + 3 * S)
    assert pace.slow == ""
    pace.drained(False, 5, GAPS_NS + 7 * S // 2)
    assert pace.slow == "4 gaps within 10 s"


def test_what_all_topics_miss_at_once_is_one_gap() -> None:
    """A publisher that starts again was gone for each of them; their heartbeats tell it."""
    pace = Pace()
    for i in range(1, 20):
        pace.drained(False, i, i * S // 20)
    for second in range(1, 4):
        assert pace.slow == ""
        pace.drained(False, 20 + second, S // 20 + second * S + second)
    assert pace.slow == "4 gaps within 10 s"


def test_being_behind_counts_from_the_least_lag_and_only_while_more_waits() -> None:
    """The clocks are an hour apart; the publisher itself is late for a while."""
    pace, hour_ns = Pace(), 3_600 * S
    pace.live(0, hour_ns)
    pace.live(0, hour_ns + 5 * BEHIND_NS_MAX)
    pace.drained(False, 0, 0)
    assert pace.slow == ""
    pace.live(0, hour_ns + BEHIND_NS_MAX)
    pace.drained(True, 0, 0)
    assert pace.slow == ""
    pace.live(0, hour_ns + 3 * BEHIND_NS_MAX // 2)
    pace.drained(True, 0, 0)
    assert pace.slow == "1.5 s behind"
