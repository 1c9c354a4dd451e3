"""The SDK against the real exchange: what clients reckon is what the journal says, also when
requests are many at once, when the gateway dies, and when somebody is not who he says."""

import asyncio
import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import zmq
from rtes.client import AsyncClient, Credentials, NotConnected, Rejected
from rtes.client.testing import Mesh
from rtes.common.enums import OrdStatus, TimeInForce
from rtes.common.messages import SecurityListRequest
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

pytestmark = pytest.mark.mesh
PX = 58_574  # AAPL's reference price
REQUESTS_EACH = 250


class Trader:
    """Trades at random, but the same with the same seed, and remembers all it was told."""

    def __init__(self, mesh: Mesh, account: str, seed: int) -> None:
        self.account = account
        self.told: list[Numbered] = []
        self.client = connect(mesh, account, on_report=self._on_report)
        self.asked = 0
        self._random = random.Random(seed)

    def _on_report(self, report: object) -> None:
        if isinstance(report, Numbered):
            self.told.append(report)

    def act(self, wait: bool | None = None) -> None:
        """One request; some wait for their answer when the caller does not say."""
        self.asked += 1
        choose, client = self._random, self.client
        wait = choose.random() < 0.1 if wait is None else wait
        resting = [o for o in client.open_orders if o.leaves]
        what = choose.random()
        try:
            if what < 0.7 or not resting:
                side = client.buy if choose.random() < 0.5 else client.sell
                tif = choose.choice((TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC))
                price = PX + choose.randint(-5, 5)
                side("AAPL", choose.randint(1, 20), price, tif=tif, wait=wait)
            elif what < 0.85:
                client.cancel(choose.choice(resting), wait=wait)
            else:
                order = choose.choice(resting)
                client.replace(order, order.cum + choose.randint(1, 20), wait=wait)
        except Rejected as refused:
            if refused.code not in (Code.TOO_LATE, Code.QTY_BELOW_FILLED):  # lost a race
                raise

    def catch_up(self, journal: dict[str, list[Numbered]]) -> None:
        """Until it was told all that the journal says it was told."""
        until(self.client, lambda: len(self.told) >= len(journal[self.account]))

    def run(self, requests: int) -> None:
        for _ in range(requests):
            self.act()
            self.client.poll(0.0)
        settle(self.client)


def check_reckoning(trader: Trader, journal: list[Numbered], first: int) -> None:
    """The client's orders, fills and positions are those of the journal, report by report."""
    mine = journal[first - 1 :]
    assert trader.told == mine
    reckoning = Reckoning.of(mine)
    known = {o.order_id: (o.status, o.cum, o.leaves) for o in trader.client.orders.values()
             if o.order_id}  # fmt: skip
    assert known == reckoning.orders
    assert own_positions(trader.client) == reckoning.positions
    assert reckoning.fills > 20


def test_a_thousand_orders_from_four_clients(mesh: Mesh) -> None:
    traders = [Trader(mesh, f"BOT0{i}", seed=i) for i in range(1, 5)]
    threads = [threading.Thread(target=t.run, args=(REQUESTS_EACH,)) for t in traders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [t.asked for t in traders] == [REQUESTS_EACH] * 4
    for trader in traders:
        trader.client.cancel_all()
    journal = told(mesh)
    for trader in traders:
        trader.catch_up(journal)
        check_reckoning(trader, journal[trader.account], first=1)
        check_once(trader.told)
        trader.client.close()
    check_trades(journal)
    total = sum(Reckoning.of(journal[t.account]).positions["AAPL"] for t in traders)
    assert total == 0
    assert not audit(mesh).books["AAPL"].bids.best()


async def _connect(mesh: Mesh, account: str) -> AsyncClient:
    return await AsyncClient.connect(
        account, config=mesh.config, timeout_s=20.0,
    )


def test_many_orders_at_once(mesh: Mesh) -> None:
    """More than may be in flight: they wait their turn, in the order of their ids."""

    async def trade() -> None:
        async with await _connect(mesh, "BOT05") as client:
            orders = await asyncio.gather(*(client.buy("MSFT", 1, 3_000) for _ in range(2_000)))
            assert {o.status for o in orders} == {OrdStatus.NEW}
            await asyncio.gather(*(client.replace(o, 2, 3_000) for o in orders[:500]))
            await asyncio.gather(*(client.cancel(o) for o in orders))
            assert all(o.done for o in orders)
            with pytest.raises(Rejected) as refused:
                await client.cancel(orders[0])
            assert refused.value.code is Code.TOO_LATE

    asyncio.run(trade())


def test_the_gateway_dies_while_clients_trade(mesh: Mesh) -> None:
    trader, other = Trader(mesh, "BOT06", seed=6), Trader(mesh, "BOT07", seed=7)
    for kills in range(3):
        for _ in range(60):
            trader.act()
            other.act()
        mesh.kill("gateway")
        for _ in range(20 * kills):
            trader.act(wait=False)
        mesh.start("gateway")
        for _ in range(60):
            trader.act()
            other.act()
    for each in (trader, other):
        settle(each.client)
        each.client.cancel_all()
    journal = told(mesh)
    for each in (trader, other):
        each.catch_up(journal)
        check_reckoning(each, journal[each.account], first=1)
        check_once(each.told)
        each.client.close()


def test_a_question_survives_the_gateway(mesh: Mesh) -> None:
    with connect(mesh, "BOT08") as client:
        mesh.restart("gateway")
        assert "AAPL" in client.instruments()
        mesh.restart("gateway")
        assert client.account_usage()[-1].account == "BOT08"


def test_a_client_that_was_away_is_told_what_it_missed(mesh: Mesh) -> None:
    """The frames for a client that cannot be reached are lost, its reports are not."""
    trader = Trader(mesh, "BOT09", seed=9)
    order = trader.client.buy("TSLA", 300, 3_379)
    with connect(mesh, "BOT10") as other:
        mesh.kill("gateway")  # while trades come that the client does not see
        mesh.start("gateway")
        for _ in range(300):
            other.sell("TSLA", 1, 3_379, wait=False)
        settle(other)
    assert order.cum == 0
    trader.client.instruments()  # the first word after the restart
    until(trader.client, lambda: order.cum == 300)
    assert trader.told == told(mesh)["BOT09"]
    trader.client.close()


def test_the_newest_logon_wins(mesh: Mesh) -> None:
    first = connect(mesh, "BOT11")
    order = first.buy("AAPL", 1, PX)
    with connect(mesh, "BOT11") as second:
        with pytest.raises(NotConnected, match="newer logon"):
            first.buy("AAPL", 1, PX)
        second.cancel(order.cl_ord_id, "AAPL")
    first.close()


def stranger(mesh: Mesh, account: str) -> Credentials:
    public, secret = zmq.curve_keypair()
    known = Credentials.of(account, mesh.paths)
    return replace(known, public_key=public.decode(), secret_key=secret.decode())


def test_an_unknown_key_is_refused(mesh: Mesh) -> None:
    with pytest.raises(NotConnected, match="key"):
        connect(mesh, "BOT12", credentials=stranger(mesh, "BOT12"), timeout_s=2.0)


def test_a_key_speaks_for_its_own_account_only(mesh: Mesh) -> None:
    credentials = Credentials.of("BOT13", mesh.paths)
    with pytest.raises(Rejected) as refused:
        connect(mesh, "BOT12", credentials=credentials)
    assert refused.value.code is Code.NOT_AUTHORIZED


def test_a_gateway_that_is_away_is_an_error_in_time(mesh: Mesh, tmp_path: Path) -> None:
    nowhere = f"ipc://{tmp_path}/nobody"
    with pytest.raises(NotConnected, match="is the exchange running"):
        connect(mesh, "BOT12", endpoint=nowhere, timeout_s=0.3)


def test_a_batch_in_one_frame(mesh: Mesh) -> None:
    """Requests that carry no number are answered too, in the order sent."""
    with connect(mesh, "BOT14") as client:
        client.send([SecurityListRequest("a"), SecurityListRequest("b")])
        rows: list[object] = []
        while len(rows) < 10:
            rows += client.poll(1.0)
        assert [getattr(r, "security_req_id", "") for r in rows] == ["a"] * 5 + ["b"] * 5
