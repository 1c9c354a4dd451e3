"""The archive's index: it finds an account's reports, and forgets what is not kept any more."""

from collections.abc import Iterator

from rtes.common import feed
from rtes.common.records import decode, encode
from rtes.services.archive.core import (
    FEED,
    FORGET_INTERVAL_NS,
    INDEX_BLOCKS,
    REQUESTS,
    REST_S,
    ArchiveCore,
)

ACCOUNT = 7
NO_MOVES = encode([])
SESSION = 3
BLOCKS = 100


def payload(seq: int) -> bytes:
    """A block of one command, which told the account its report number seq."""
    reports = encode([["8", seq]])
    return encode((0, 1, seq, 1, seq, [], [], [(ACCOUNT, seq, 1, 0, reports, NO_MOVES)], []))


class Archive:
    """A core over a journal that loses its oldest blocks."""

    def __init__(self) -> None:
        self.kept_from = 1
        self.damaged = BLOCKS + 1  # the first block that cannot be read
        self.core = ArchiveCore(0, self.blocks_from, lambda: self.kept_from)
        self.core.receive(FEED, [feed.status_frame(0, 1, BLOCKS, [])], 0, 0)
        self.core.flush(0, 0)

    def blocks_from(self, seq: int) -> Iterator[tuple[int, int, int, bytes]]:
        for number in range(max(seq, self.kept_from), self.damaged):
            yield 1, number, 1, payload(number)

    def history(self, begin: int) -> list[list[object]]:
        """The reports that come back."""
        request = feed.history_request(0, ACCOUNT, begin, SESSION, BLOCKS)
        self.core.receive(REQUESTS, [(b"gateway", b"", request)], 0, 0)
        self.core.flush(0, 0)
        sent, self.core.outbox = self.core.outbox, []
        return [report for _, _, frame in sent for report in decode(decode(frame)[3])]

    def replay(self, seq: int) -> list[bytes]:
        """The frames that come back."""
        self.core.receive(REQUESTS, [(b"risk", b"", feed.replay_request(0, seq))], 0, 0)
        sent, self.core.outbox = self.core.outbox, []
        return [frame for _, _, frame in sent]


def test_a_history_starts_where_it_is_asked_from() -> None:
    assert Archive().history(98) == [["8", 98], ["8", 99], ["8", 100]]


def test_what_was_removed_meanwhile_is_said_to_be_gone() -> None:
    archive = Archive()
    assert len(archive.history(1)) == BLOCKS
    archive.kept_from = 99
    assert archive.history(1) == [["4", 0, 99], ["8", 99], ["8", 100]]


def test_the_index_does_not_grow_for_ever() -> None:
    archive = Archive()
    history = archive.core._histories[ACCOUNT]
    archive.kept_from = 91
    archive.core.tick(FORGET_INTERVAL_NS)
    assert len(history.numbers) == len(history.blocks) == 10
    archive.core.tick(FORGET_INTERVAL_NS + 1)
    assert len(history.numbers) == 10


def test_a_replay_that_begins_in_what_is_removed_or_damaged_is_said_to_be_gone() -> None:
    archive = Archive()
    assert len(archive.replay(98)) == 4
    assert archive.replay(BLOCKS + 1) == [feed.end_frame(0)]
    archive.damaged = 50
    assert archive.replay(50) == [feed.gone_frame(0, 50)]
    assert len(archive.replay(49)) == 2
    archive.kept_from = 30
    assert archive.replay(29) == [feed.gone_frame(0, 29)]


def test_the_index_goes_as_far_as_the_matcher_released_a_slice_at_a_time() -> None:
    """It waits for nothing while more of the journal is there, and does not rest while asked."""
    head = BLOCKS + INDEX_BLOCKS + 1
    archive = Archive()
    archive.damaged = head + 2  # one block more is written, but not released
    core, seen = archive.core, []
    core.receive(FEED, [feed.status_frame(0, 1, head, [])], 0, 0)
    for _ in range(3):
        core.flush(0, 0)
        seen.append((core.vitals().gauges["rtes_sequence"], *core.rest()))
    assert seen == [(head - 1, REST_S, True), (head, REST_S, False), (head, REST_S, False)]
    archive.replay(1)
    assert [core.rest().seconds, core.rest().seconds] == [0, REST_S]
    core.receive(REQUESTS, [(b"g", b"", feed.history_request(0, ACCOUNT, 1, 3, head + 1))], 0, 0)
    for _ in range(3):  # it waits for what the matcher has not released yet
        core.flush(0, 0)
        assert core.rest().seconds == 0
    core.receive(FEED, [feed.status_frame(0, 1, head + 1, [])], 0, 0)
    core.flush(0, 0)
    assert core.outbox
    assert [core.rest().seconds, core.rest().seconds] == [0, REST_S]
