"""When the matcher says what it expects on its links."""

from rtes.common import feed, link
from rtes.common.records import encode
from rtes.common.refdata import Instrument
from rtes.services.matcher.core import COMMANDS, STATUS_BUSY_NS, MatcherCore
from rtes.services.matcher.engine import Engine

GROUPS = encode([(0, 1, 0, 0, encode([("F", 7, 1, 1, "AAPL", 2)]), [])])


def test_a_status_comes_at_once_only_when_somebody_waits_for_it() -> None:
    """A risk that starts waits to be known, and one whose frame was lost or repeated to hear of
    it; who only holds what was taken hears of that after a while."""
    core = MatcherCore(0, 1, Engine(0, [Instrument(symbol="AAPL", reference_price=100)]))
    risk, now_ns = link.Sender(0, 1), 10**9

    def topics(frames: list[bytes]) -> list[bytes]:
        core.receive(COMMANDS, frames, now_ns, now_ns)
        core.flush(now_ns, now_ns)
        sent, core.outbox = core.outbox, []
        return [frame[:1] for _, _, frame in sent]

    first, second, third = (risk.push(GROUPS, 1, now_ns) for _ in range(3))
    assert topics([first]) == [feed.TOPIC_BLOCK, feed.TOPIC_STATUS]
    assert topics([second]) == [feed.TOPIC_BLOCK]
    assert topics([second]) == [feed.TOPIC_STATUS]
    now_ns += STATUS_BUSY_NS - 1
    assert topics([third]) == [feed.TOPIC_BLOCK]
    fourth, _lost, sixth = (risk.push(GROUPS, 1, now_ns) for _ in range(3))
    now_ns += 1
    assert topics([fourth]) == [feed.TOPIC_BLOCK, feed.TOPIC_STATUS]
    assert topics([sixth]) == [feed.TOPIC_STATUS]
    assert topics([]) == []
