"""Following the feed: every block once, in order, gaps asked for, old writers ignored."""

from rtes.common import feed
from rtes.common.records import Block, encode


def frame(first_seq: int, commands: int = 1, epoch: int = 1) -> bytes:
    block = Block(0, epoch, first_seq, commands, 0, [], [], [], [])
    return feed.frame(0, epoch, first_seq, commands, encode(tuple(block)))


def firsts(followers: feed.Followers, data: bytes) -> list[int]:
    return [b.first_seq for b in followers.take(data)[0]]


def test_in_order_and_once() -> None:
    followers = feed.Followers([0])
    assert firsts(followers, frame(1, 3)) == [1]
    assert firsts(followers, frame(1, 3)) == []
    assert firsts(followers, frame(4)) == [4]
    assert followers.caught_up


def test_a_gap_is_asked_for_and_filled_from_what_waits() -> None:
    followers = feed.Followers([0])
    assert firsts(followers, frame(3)) == []
    assert not followers.caught_up
    assert followers.requests(10**9) == [(0, 1)]
    assert followers.requests(10**9 + 1) == []  # not again at once
    assert firsts(followers, frame(1, 2)) == [1, 3]
    assert followers.caught_up


def test_a_lost_tail_shows_in_the_status() -> None:
    followers = feed.Followers([0])
    followers.take(frame(1))
    followers.take(feed.status_frame(0, 1, 5, []))
    assert followers.requests(10**9) == [(0, 2)]


def test_a_dead_writer_is_ignored() -> None:
    followers = feed.Followers([0])
    followers.take(frame(1, epoch=3))
    assert firsts(followers, frame(2, epoch=2)) == []
    assert firsts(followers, frame(2, epoch=4)) == [2]


def test_from_head_starts_at_the_first_status() -> None:
    followers = feed.Followers([0], from_head=True)
    assert firsts(followers, frame(41)) == []
    followers.take(feed.status_frame(0, 1, 41, []))
    assert firsts(followers, frame(42)) == [42]
