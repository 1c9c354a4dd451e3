"""Directed scenarios: what random faults hit too rarely, or other mechanisms would hide.

Each plays one course of events in a calm exchange and returns what is wrong with the end: nothing
while the defence that it is about stands.
"""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import astuple
from rtes.common import link
from rtes.common.enums import OrdType, Side
from rtes.common.messages import NewOrderSingle
from rtes.common.records import NOTICE_LOGON, encode
from rtes.common.refusals import Code
from rtes.services.matcher import core as matcher
from rtes.services.matcher.core import MatcherCore

from tests.simulation.checker import violations
from tests.simulation.client import SimClient
from tests.simulation.faults import Faults
from tests.simulation.network import MS
from tests.simulation.world import LIMITS, Size, World

LONG_MS = 600
A, B = "AAPL", "MSFT"  # of shard 0 and of shard 1


def calm(snapshots: bool = False) -> World:
    """An exchange in which nothing happens by itself; its one participant is logged on."""
    world = World(1, Faults(snapshots=snapshots), Size(clients=1, requests=0))
    world.scheduler.run(LONG_MS * MS, lambda: all(c.done for c in world.clients))
    world.scheduler.run(LONG_MS * MS)  # every gateway's first word has come to the matchers
    return world


def asks(world: World, client: SimClient, *messages: list[Any], wait: bool = True) -> None:
    """Send requests, and wait until they are answered."""
    shard_of = {i.symbol: i.shard for i in world.instruments}
    for message in messages:
        client.ask(message, [shard_of[message[2]]])
    if wait:
        world.scheduler.run(LONG_MS * MS, lambda: not client.unanswered)


def order(i: int, symbol: str = A, qty: int = 1) -> list[Any]:
    """A buy order that rests."""
    return ["D", i, symbol, "1", qty, "2", 950, "1"]


def end(world: World) -> list[str]:
    world.scheduler.run(LONG_MS * MS)
    world.run(safety_ms=0)
    return violations(world)


def unsynced_is_not_told() -> list[str]:
    """A gateway has missed a block. The matcher dies between append and sync of the next; the
    gateway asks the archive for what it missed; then the power is lost."""
    world = calm()
    (client,) = world.clients
    slow, far_ns = world.network.slow, world.scheduler.now_ns + 10 * LONG_MS * MS
    asks(world, client, order(1))
    slow["matcher0", "gateway0"] = slow["gateway0", "archive0"] = (far_ns, -1)
    asks(world, client, order(2), wait=False)
    world.scheduler.run(50 * MS)
    del slow["matcher0", "gateway0"]
    world.scheduler.run(300 * MS)
    world.faults.long_death = 1.0
    world.dies_at["matcher0"] = "appended"
    asks(world, client, order(3), wait=False)
    world.scheduler.run(50 * MS)
    del slow["gateway0", "archive0"]
    world.scheduler.run(200 * MS)
    world.journals[0].lose_unsynced()
    return end(world)


def recovered_is_synced() -> list[str]:
    """The matcher dies between append and sync; its successor finds the block and tells it;
    then the power is lost."""
    world = calm()
    (client,) = world.clients
    world.dies_at["matcher0"] = "appended"
    asks(world, client, order(1), wait=False)
    world.scheduler.run(LONG_MS * MS, lambda: not world.network.nodes["matcher0"].alive)
    world.network.slow["risk1", "matcher0"] = (world.scheduler.now_ns + LONG_MS * MS, -1)
    world.scheduler.run(LONG_MS // 2 * MS)
    world.kill("matcher0")
    world.journals[0].lose_unsynced()
    return end(world)


def snapshot_is_of_what_was_released() -> list[str]:
    """The matcher dies between append and sync; a snapshot is due; then the power is lost."""
    world = calm(snapshots=True)
    (client,) = world.clients
    asks(world, client, order(1))
    world.scheduler.run(700 * MS)
    world.faults.long_death = 1.0
    world.dies_at["matcher0"] = "appended"
    asks(world, client, order(2), wait=False)
    world.scheduler.run(400 * MS)
    world.journals[0].lose_unsynced()
    return end(world)


def risk_knows_what_its_sender_was_told() -> list[str]:
    """Risk misses a cancel on the feed; the participant was told of it, and uses the room."""
    world = calm()
    (client,) = world.clients
    orders_max = LIMITS.open_orders_max
    for i in range(1, orders_max + 1):
        asks(world, client, order(i))
    world.network.slow["matcher0", "risk1"] = (world.scheduler.now_ns + LONG_MS * MS, -1)
    asks(world, client, ["F", 100, A, 1])
    asks(world, client, order(101), wait=False)
    world.scheduler.run(50 * MS)
    world.network.slow.clear()
    found = end(world)
    refused = [r for r in client.reports.values() if Code.OPEN_ORDERS in r[22:23]]
    return found + [f"refused though there was room: {r}" for r in refused]


def new_risk_knows_what_went_before() -> list[str]:
    """An account is at its limit; risk dies and cannot read the feed's past for a while."""
    world = calm()
    (client,) = world.clients
    asks(world, client, *map(order, range(1, LIMITS.open_orders_max + 1)))
    world.network.slow["archive0", "risk1"] = (world.scheduler.now_ns + LONG_MS * MS, -1)
    world.kill("risk1")
    world.scheduler.run(100 * MS)
    asks(world, client, order(100), wait=False)
    world.scheduler.run(50 * MS)
    world.network.slow.clear()
    return end(world)


def late_ack_means_what_it_meant() -> list[str]:
    """The feed is slow: an order's acknowledgement comes after risk died and the gateway numbered
    anew what it holds, among it an order that is lost twice. The participant asks only once."""
    world = calm()
    (client,) = world.clients
    client.patient = True
    asks(world, client, *map(order, range(1, 4)))
    now_ns = world.scheduler.now_ns
    world.network.slow["matcher0", "gateway0"] = (now_ns + LONG_MS * MS, 400 * MS)
    asks(world, client, order(4), wait=False)
    world.scheduler.run(10 * MS)
    world.network.slow["gateway0", "risk1"] = (now_ns + LONG_MS * MS, -1)
    world.kill("risk1")
    asks(world, client, order(5), wait=False)
    return end(world)


def fenced_matcher_is_not_heard() -> list[str]:
    """A matcher that should be dead goes on, on a copy of the journal, beside its successor."""
    world = calm()
    (client,) = world.clients
    asks(world, client, order(1))
    zombie = MatcherCore(0, 1, world.engine(0))
    for block in world.blocks(0):
        zombie.replay(block)
    world.kill("matcher0")
    world.scheduler.run(500 * MS)
    never_sent = NewOrderSingle(99, A, Side.BUY, 1, OrdType.LIMIT, 950)
    command = ("D", 1, 0, *astuple(never_sent))
    group: tuple[Any, ...] = (0, 99, 0, 0, encode([command]), [])
    frame = link.Sender(0, 99).push(encode([group]), 1, 0)
    zombie.receive(matcher.COMMANDS, [frame], 0, 0)
    zombie.flush(world.scheduler.now_ns, world.scheduler.wall_ns())
    for channel, _, data in zombie.outbox:
        world.network.transmit(world.network.nodes["matcher0"], channel, None, data)
    world.scheduler.run(20 * MS)
    return end(world)


def older_session_stays_older() -> list[str]:
    """A participant moves to the other gateway while one shard has not heard of its first
    session; what that shard hears of it then comes too late."""
    world = World(1, Faults(), Size(clients=3, requests=0))
    client = world.clients[2]  # its orders are to be canceled when its session ends

    def first_session() -> bool:
        notices = [n for b in world.blocks(1) for n in b.notices]
        return any(n[:2] == (NOTICE_LOGON, 3) for n in map(tuple, notices))

    world.scheduler.run(LONG_MS * MS, first_session)
    until_ns = world.scheduler.now_ns + LONG_MS * MS
    world.network.slow["gateway0", "risk1"] = (until_ns, -1)
    world.scheduler.run(5 * MS)
    client.connect(1)
    world.scheduler.run(100 * MS, lambda: client.logged_on)
    asks(world, client, order(1), order(2, B))
    world.network.slow.clear()
    world.scheduler.run(LONG_MS * MS)
    return end(world)


def older_session_trades_no_more() -> list[str]:
    """An order is on its way from one gateway when its participant logs on at the other."""
    world = calm()
    (client,) = world.clients
    client.connect(1)
    world.scheduler.run(90 * MS, lambda: client.logged_on)
    for risk in ("risk0", "risk1"):
        world.network.slow["gateway1", risk] = (world.scheduler.now_ns + LONG_MS * MS, 100 * MS)
    asks(world, client, order(1), wait=False)
    world.scheduler.run(5 * MS)
    client.connect(0)
    world.scheduler.run(90 * MS, lambda: client.logged_on)
    found = [] if client.logged_on and client.unanswered else ["it was not as described"]
    world.scheduler.run(LONG_MS * MS, lambda: not client.unanswered)
    return found + end(world)


def full_disk_loses_nothing() -> list[str]:
    """A journal takes nothing for a while: cancels still go while there is room, orders do not."""
    world = calm()
    (client,) = world.clients
    asks(world, client, order(1), order(2), order(3, B))
    journal = world.journals[0]
    journal.writable, journal.reserve = False, 1_500
    world.scheduler.run(100 * MS)
    asks(world, client, ["F", 10, A, 1], order(11), order(12, B))
    found = list(_full_disk(client))
    asks(world, client, *(["F", i, A, 2] for i in range(20, 60)), wait=False)
    world.scheduler.run(300 * MS)
    if not client.unanswered:
        found.append("a full disk took everything")
    return found + end(world)


def _full_disk(client: SimClient) -> Iterator[str]:
    codes = {r[5]: (r[3], *r[22:23]) for r in client.reports.values() if r[0] == "8"}
    if codes.get(10) != ("4",):
        yield f"a cancel was not taken: {codes.get(10)}"
    if codes.get(11, ("8", Code.READ_ONLY)) != ("8", Code.READ_ONLY):
        yield f"an order was taken: {codes.get(11)}"
    if codes.get(12) != ("0",):
        yield f"the other shard took no order: {codes.get(12)}"


def who_never_returns_leaves_no_orders() -> list[str]:
    """A gateway dies. Of two that asked for cancel-on-disconnect one comes back to it, late."""
    world = World(1, Faults(), Size(gateways=1, clients=6, requests=0))
    world.scheduler.run(LONG_MS * MS, lambda: all(c.done for c in world.clients))
    gone, back = world.clients[2], world.clients[5]
    for client in (gone, back):
        asks(world, client, order(1), order(2, B))
    gone.gone = True
    world.kill("gateway0")
    late_ns = world.scheduler.now_ns + 2 * LONG_MS * MS
    world.network.slow[back.node.name, "gateway0"] = (late_ns, -1)
    world.scheduler.run(2 * LONG_MS * MS)
    asks(world, back, order(3), wait=False)
    world.scheduler.run(10 * LONG_MS * MS)
    of_back = [engine.participants[6].orders for engine in world.engines.values()]
    kept = sorted(i for orders in of_back for i in orders)
    found = [] if kept == [1, 2, 3] else [f"canceled though it came back: only {kept} are left"]
    return found + end(world)


SCENARIOS: tuple[Callable[[], list[str]], ...] = (
    unsynced_is_not_told,
    recovered_is_synced,
    snapshot_is_of_what_was_released,
    risk_knows_what_its_sender_was_told,
    new_risk_knows_what_went_before,
    late_ack_means_what_it_meant,
    fenced_matcher_is_not_heard,
    older_session_stays_older,
    older_session_trades_no_more,
    full_disk_loses_nothing,
    who_never_returns_leaves_no_orders,
)
