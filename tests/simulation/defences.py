"""What keeps the promises, each with a name and a way to take it out of the real code.

Production code has no switches: a defence is removed by replacing the function that is it. Where
another mechanism would hide the hole (resends, ids), it is taken out too, and said so here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from rtes.common import blocks, feed, link
from rtes.common.records import Block, decode, encode
from rtes.services.archive.core import ArchiveCore
from rtes.services.gateway import orphans
from rtes.services.gateway.core import GatewayCore
from rtes.services.matcher.core import MatcherCore
from rtes.services.matcher.engine import Engine
from rtes.services.risk.core import RiskCore
from rtes.services.risk.exposure import Exposure
from rtes.services.snapshotter.core import SnapshotterCore

from tests.simulation import scenarios
from tests.simulation.disk import FakeJournal
from tests.simulation.faults import Faults
from tests.simulation.world import World

Change = tuple[Any, str, Any]  # owner, attribute, replacement
STORM = Faults(
    drop=0.02, duplicate=0.05, interval_ms=25, pause=0.1, inside=0.5, power_loss=0.7, link=0.1
)
RAIN = Faults(drop=0.1, interval_ms=60, pause=0.2, patient=True)


class Defence(NamedTuple):
    """What to replace, and where it is missed: in a scenario, or else in this weather."""

    changes: tuple[Change, ...]
    faults: Faults = STORM
    scenario: Callable[[], list[str]] | None = None


def _executes_repeats(engine: Any, p: Any, command: tuple[Any, ...]) -> None:
    engine._handlers[command[0]](p, command, 10**9 + engine._reporter.exec_id)


def _takes_gaps(receiver: link.Receiver, stamp: link.Stamp) -> bool:
    """As Receiver.accept, but what is missing is not missed."""
    sender, epoch, link_no, n = stamp
    if stamp[1:] < receiver._expected.get(sender, (0, -1, 0)):
        return False
    receiver._expected[sender] = (epoch, link_no, n + 1)
    return True


def _renumbers_in_place(sender: link.Sender, now_ns: int) -> list[bytes]:
    """As Sender.renew, but within the link."""
    sender._bases[sender.link] = sender._first
    sender._expected = 0
    sender._moved_ns = now_ns
    return sender._from(sender._first)


def _forgets(sender: link.Sender, _now_ns: int) -> list[bytes]:
    sender._held.clear()
    sender.weight = 0
    return []


def _read_unchecked(
    data: memoryview, offset: int, _previous_crc: int | None
) -> blocks.StoredBlock | None:
    """As blocks.read, without the checksum and the chain."""
    if offset + blocks.HEADER_BYTES > len(data):
        return None
    magic, _, shard, epoch, first_seq, commands, length, _ = blocks._BODY.unpack_from(data, offset)
    end = offset + blocks.HEADER_BYTES + length
    if magic != blocks.MAGIC or end > len(data):
        return None
    (crc,) = blocks._CRC.unpack_from(data, offset + blocks._BODY.size)
    return blocks.StoredBlock(shard, epoch, first_seq, commands, crc, offset, end)


def _tells_then_syncs(world: World, core: MatcherCore, shard: int, epoch: int) -> None:
    """As World._commit, but what is told leaves before its block is written."""
    node = world.network.nodes[f"matcher{shard}"]
    for send in core.outbox:
        node.send(*send)
    core.outbox = []
    _COMMIT(world, core, shard, epoch)


def _ready_at_once(core: RiskCore, *args: Any) -> None:
    """As RiskCore.__init__, but it takes commands before it knows what went before."""
    _RISK_INIT(core, *args)
    core._ready = True


def _decides_at_once(core: RiskCore, matcher: int, *args: Any) -> None:
    """As RiskCore._decide, whatever the sender was told."""
    core._taken[matcher] = type(core._taken[matcher])(
        (stamp, 0, commands) for stamp, _, commands in core._taken[matcher]
    )
    _DECIDE(core, matcher, *args)


def _acks_what_is_expected(core: GatewayCore, frame: bytes, now_ns: int) -> None:
    """As GatewayCore._risk, but what risk has taken is done with."""
    if frame[:1] != b"R":
        for lane, epoch, link_no, expected, _gap in decode(frame[1:])[2]:
            core._lanes.ack([(lane, epoch, link_no, expected - 1)])
    _GATEWAY_RISK(core, frame, now_ns)


def _serves_all(archive: ArchiveCore, seq: int) -> Any:
    return archive._blocks_from(seq)


def _no_head(follower: feed.Follower, epoch: int, _head_seq: int) -> None:
    follower.epoch = max(follower.epoch, epoch)


def _any_epoch(follower: feed.Follower, data: bytes) -> list[bytes]:
    follower.epoch = 0
    return _FOLLOW(follower, data)


def _replays_without_verdicts(core: MatcherCore, block: Block) -> bool:
    frames = [encode([(*g[:5], []) for g in decode(frame)]) for frame in block.frames]
    return _REPLAY(core, block._replace(frames=frames))


def _takes_the_walls_time(core: MatcherCore, frames: list[bytes], wall_ns: int) -> None:
    core._time_ns = 0
    _SEAL(core, frames, wall_ns)


def _any_session(engine: Engine, p: Any, command: tuple[Any, ...], seq: int) -> None:
    p.turn = 0
    _LOGON(engine, p, command, seq)


def _hears_of_everything(core: SnapshotterCore, *_args: Any) -> None:
    """As SnapshotterCore.receive, but what was not released is executed too."""
    core._head_seq = 10**9


_COMMIT: Callable[..., None] = World._commit
_RISK_INIT: Callable[..., None] = RiskCore.__init__
_DECIDE: Callable[..., None] = RiskCore._decide
_GATEWAY_RISK: Callable[..., None] = GatewayCore._risk
_FOLLOW: Callable[..., list[bytes]] = feed.Follower.receive
_REPLAY: Callable[..., bool] = MatcherCore.replay
_SEAL: Callable[..., None] = MatcherCore._seal
_LOGON: Callable[..., None] = Engine._logon

DEFENCES: dict[str, Defence] = {
    "a repeated cl_ord_id is not executed": Defence(((Engine, "_repeat", _executes_repeats),)),
    "nothing is told before it is synced": Defence(((FakeJournal, "sync", lambda _: None),)),
    "nothing is told before its block is written": Defence(
        ((World, "_commit", _tells_then_syncs),)
    ),
    "a recovered block is synced before it is told": Defence(
        ((FakeJournal, "_sync_recovered", lambda _: None),), scenario=scenarios.recovered_is_synced
    ),
    "a torn tail is cut off": Defence(((FakeJournal, "_cut_tail", lambda *_: None),)),
    "blocks have a checksum": Defence(
        ((blocks, "read", _read_unchecked),), Faults(interval_ms=10, inside=1.0, power_loss=1.0)
    ),
    "links take only the next frame": Defence(((link.Receiver, "accept", _takes_gaps),), RAIN),
    "lost frames are sent again": Defence(((link.Sender, "_catch_up", lambda *_: []),)),
    "what is held is sent to a new receiver": Defence(((link.Sender, "renew", _forgets),)),
    "every renumbering opens a new link": Defence(
        ((link.Sender, "renew", _renumbers_in_place),),
        scenario=scenarios.late_ack_means_what_it_meant,
    ),
    "the head reveals a lost tail of the feed": Defence(
        ((feed.Follower, "status", _no_head),), RAIN
    ),
    "gaps of the feed are asked for": Defence(((feed.Follower, "request", lambda *_: None),), RAIN),
    "a lane is acknowledged by the journal only": Defence(
        ((GatewayCore, "_risk", _acks_what_is_expected),), RAIN
    ),
    # waiting for what the sender was told hides most of it
    "risk waits for fence and replay": Defence(
        ((RiskCore, "__init__", _ready_at_once), (RiskCore, "_decide", _decides_at_once)),
        scenario=scenarios.new_risk_knows_what_went_before,
    ),
    "risk decides on no less than its sender was told": Defence(
        ((RiskCore, "_decide", _decides_at_once),),
        scenario=scenarios.risk_knows_what_its_sender_was_told,
    ),
    "the archive serves up to the released head": Defence(
        ((ArchiveCore, "_released", _serves_all),), scenario=scenarios.unsynced_is_not_told
    ),
    "followers pass over a fenced matcher": Defence(
        ((feed.Follower, "receive", _any_epoch),), scenario=scenarios.fenced_matcher_is_not_heard
    ),
    "snapshots hold only what was released": Defence(
        ((SnapshotterCore, "receive", _hears_of_everything),),
        scenario=scenarios.snapshot_is_of_what_was_released,
    ),
    "what risk refused stands in the journal": Defence(
        ((MatcherCore, "replay", _replays_without_verdicts),)
    ),
    "the matcher's time never goes back": Defence(
        ((MatcherCore, "_seal", _takes_the_walls_time),), Faults(interval_ms=25, clock_jump=0.3)
    ),
    "a shard passes over an older session": Defence(
        ((Engine, "_logon", _any_session),), scenario=scenarios.older_session_stays_older
    ),
    "risk passes nothing on of an older session": Defence(
        ((Exposure, "is_elsewhere", lambda *_: False),),
        scenario=scenarios.older_session_trades_no_more,
    ),
    "a new gateway asks who was left behind": Defence(
        ((GatewayCore, "take_over", lambda *_, **__: None),),
        scenario=scenarios.who_never_returns_leaves_no_orders,
    ),
    "who comes back within the grace keeps its orders": Defence(
        ((orphans, "GRACE_NS", 0),), scenario=scenarios.who_never_returns_leaves_no_orders
    ),
    "a full disk leaves room for cancels": Defence(
        ((MatcherCore, "set_read_only", lambda *_: None),),
        scenario=scenarios.full_disk_loses_nothing,
    ),
}
