"""What cores note for the log: bounded, nothing hidden by a flood, gaps and replays named."""

from typing import Any

from rtes.common import feed
from rtes.common.events import SAME_MAX, Events
from rtes.common.records import encode


def test_a_flood_of_one_kind_is_counted_and_hides_no_other() -> None:
    events = Events()
    for number in range(10_000):
        events.info("refused", number=number)
    events.warning("banned", account="ACME")
    taken = events.take()
    refused = [details for _, what, details in taken if what == "refused"]
    assert refused[:-1] == [{"number": n} for n in range(SAME_MAX)]
    assert refused[-1] == {"not_shown": 10_000 - SAME_MAX}
    assert ("warning", "banned", {"account": "ACME"}) in taken
    assert events.take() == []
    events.info("refused", number=1)
    assert events.take() == [("info", "refused", {"number": 1})]


def block(first_seq: int) -> bytes:
    body: Any = (0, 1, first_seq, 1, 0, [], [], [], [])
    return feed.frame(0, 1, first_seq, 1, encode(body))


def test_a_gap_and_its_replay_are_noted() -> None:
    followers = feed.Followers([0])
    followers.take(block(1))
    followers.take(block(3))
    assert followers.requests(10**9) == [(0, 2)]
    followers.take(block(2))
    followers.take(feed.end_frame(0))
    assert followers.events.take() == [
        ("info", "replay asked", {"feed": 0, "from_seq": 2, "head": 3, "gaps": 1}),
        ("info", "replayed", {"feed": 0, "seq": 3, "head": 3}),
    ]
