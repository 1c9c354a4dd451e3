"""Every service is killed while three participants trade; afterwards nothing is missing, nothing
happened twice, and nobody was told anything that the journal does not say.

The schedule kills each service in turn, then at random with a fixed seed. A killed service is
started again after a moment; trading goes on through all of it.
"""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtes.client import Rejected
from rtes.client.testing import SERVICES, Mesh
from rtes.common import messages as m
from rtes.common.enums import OrdStatus, TimeInForce
from rtes.common.refusals import Code

from tests.meshes import (
    Numbered,
    Reckoning,
    audit,
    check_once,
    check_trades,
    connect,
    own_positions,
    settle,
    told,
    until,
)

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(120)]
PX = {"AAPL": 58_574, "MSFT": 3_070}
RANDOM_KILLS = 8
NAMES = ("DEMO1", "DEMO2", "DEMO3")
LOST_RACES = (Code.TOO_LATE, Code.QTY_BELOW_FILLED)


class Trader(threading.Thread):
    """Trades until told to stop; keeps all it was told, by number."""

    def __init__(self, mesh: Mesh, account: str, seed: int) -> None:
        super().__init__(name=account, daemon=True)
        self.told: dict[int, Numbered] = {}
        self.contradicted: list[Numbered] = []
        self.refused: set[int] = set()  # by the gateway: never executed
        self.failure: BaseException | None = None
        self.stopping = threading.Event()
        self.client = connect(mesh, account, on_report=self._on_report, timeout_s=30.0)
        self._random = random.Random(seed)

    def _on_report(self, report: object) -> None:
        if isinstance(report, Numbered):
            if self.told.setdefault(report.appl_seq_num, report) != report:
                self.contradicted.append(report)
        elif isinstance(report, m.BusinessMessageReject):
            self.refused.add(report.cl_ord_id)

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self._act()
                self.client.poll(0.001)
            settle(self.client)
        except BaseException as error:
            self.failure = error

    def catch_up(self, journal: list[Numbered]) -> None:
        """Until it was told all that the journal says it was told."""
        until(self.client, lambda: len(self.told) >= len(journal))

    def _act(self) -> None:
        choose, client = self._random, self.client
        resting = [o for o in client.open_orders if o.leaves]
        what = choose.random()
        wait = choose.random() < 0.05
        try:
            if what < 0.7 or not resting:
                symbol = choose.choice(list(PX))
                side = client.buy if choose.random() < 0.5 else client.sell
                price = PX[symbol] + choose.randint(-3, 3)
                tif = choose.choice((TimeInForce.GTC, TimeInForce.DAY, TimeInForce.IOC))
                side(symbol, choose.randint(1, 9), price, tif=tif, wait=wait)
            elif what < 0.9:
                client.cancel(choose.choice(resting), wait=wait)
            else:
                order = choose.choice(resting)
                client.replace(order, order.cum + choose.randint(1, 9), wait=wait)
        except Rejected as refused:
            if refused.code not in LOST_RACES:
                raise


@pytest.fixture
def own_mesh(tmp_path: Path) -> Iterator[Mesh]:
    with Mesh(tmp_path) as mesh:
        yield mesh


def progress(traders: list[Trader]) -> None:
    """Until every one of them was told something new."""
    before = [len(t.told) for t in traders]
    deadline = time.monotonic() + 20
    while any(len(t.told) <= n + 5 for t, n in zip(traders, before, strict=True)):
        assert all(t.failure is None for t in traders), [t.failure for t in traders]
        if time.monotonic() > deadline:
            raise AssertionError([(t.name, len(t.told), t.client.in_flight) for t in traders])
        time.sleep(0.02)


def kills() -> list[tuple[str, float]]:
    """(service, seconds dead): each once, then at random."""
    chance = random.Random(12)
    services = [*SERVICES, *(chance.choice(SERVICES) for _ in range(RANDOM_KILLS))]
    return [(service, chance.choice((0.0, 0.05, 0.3))) for service in services]


def check(trader: Trader, journal: list[Numbered]) -> None:
    """Each request was answered once, and what was told is what the journal says."""
    assert trader.failure is None
    assert not trader.contradicted
    assert trader.told == {r.appl_seq_num: r for r in journal}
    check_once(journal)
    answered = {r.cl_ord_id for r in journal}
    assert trader.client.in_flight == 0
    assert answered | trader.refused >= set(range(1, trader.client.next_id()))
    assert not answered & trader.refused
    reckoning = Reckoning.of(journal)
    assert own_positions(trader.client) == reckoning.positions
    mine = {o.order_id: (o.status, o.cum, o.leaves) for o in trader.client.orders.values()}
    mine.pop(0, None)  # refused, and so never an order
    assert mine == reckoning.orders


def check_risk(trader: Trader, reckoning: Reckoning) -> None:
    """Risk, restarted or not, holds the same."""
    rows = {r.symbol: r for r in trader.client.account_usage()}
    for symbol, net_qty in reckoning.positions.items():
        assert (rows[symbol].net_qty if symbol in rows else 0) == net_qty
    still_open = [o for o in reckoning.orders.values() if o[2]]
    assert rows[""].open_orders == len(still_open)
    assert rows[""].open_buy_qty + rows[""].open_sell_qty == sum(o[2] for o in still_open)


def test_nothing_is_lost_or_done_twice(own_mesh: Mesh) -> None:
    traders = [Trader(own_mesh, name, seed) for seed, name in enumerate(NAMES)]
    for trader in traders:
        trader.start()
    for service, dead_s in kills():
        progress(traders)
        own_mesh.kill(service)
        time.sleep(dead_s)
        own_mesh.start(service)
    progress(traders)
    for trader in traders:
        trader.stopping.set()
        trader.join(30)
    own_mesh.wait_ready()
    journal = told(own_mesh)
    for trader in traders:
        trader.catch_up(journal[trader.name])
        check(trader, journal[trader.name])
        check_risk(trader, Reckoning.of(journal[trader.name]))
    check_trades(journal)
    audit(own_mesh)
    for trader in traders:
        trader.client.close()


def test_a_restarted_matcher_has_the_same_book(own_mesh: Mesh) -> None:
    """Shown by what it does: orders keep price, quantity and their place in the queue."""
    with connect(own_mesh, "DEMO1") as one, connect(own_mesh, "DEMO2") as other:
        first = one.sell("AAPL", 7, PX["AAPL"], display_qty=3)
        second = other.sell("AAPL", 4, PX["AAPL"])
        stop = other.sell("AAPL", 1, stop_px=PX["AAPL"] - 5)
        one.replace(first, qty=6)
        before = audit(own_mesh).digest()
        own_mesh.restart("matcher")
        own_mesh.wait_ready()
        assert audit(own_mesh).digest() == before
        for client, count in ((one, 1), (other, 2)):
            reports = client.ask(m.OrderMassStatusRequest(client.next_id()))
            assert getattr(reports[-1], "tot_num_reports", 0) == count
        one.buy("AAPL", 10, PX["AAPL"])
        until(one, lambda: first.status is OrdStatus.FILLED)
        until(other, lambda: second.status is OrdStatus.FILLED)
        other.cancel(stop)
    audit(own_mesh)


def test_a_logon_goes_on_where_the_account_was(own_mesh: Mesh) -> None:
    """Report numbers and cl_ord_ids continue over a restart of everything at once."""
    with connect(own_mesh, "DEMO1") as client:
        order = client.buy("AAPL", 1, PX["AAPL"])
        for service in SERVICES:
            own_mesh.kill(service)
        for service in SERVICES:
            own_mesh.start(service)
        client.cancel(order)
        assert order.status is OrdStatus.CANCELED
    own_mesh.wait_ready()
    with connect(own_mesh, "DEMO1") as again:
        assert again.next_id() == 3
    assert [r.appl_seq_num for r in told(own_mesh)["DEMO1"]] == [1, 2]
