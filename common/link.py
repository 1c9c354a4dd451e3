"""Go-back-N links: in order, once, across lost frames and restarted peers. Pure.

A frame is (sender, epoch, link, n). The sender keeps what is not yet acknowledged; the receiver
takes n only when it is the next one. Inside a link nothing is ever renumbered: when the receiver
restarts, the sender opens link + 1 and numbers what it still holds from 0. Entries have an
absolute index that never changes, so an acknowledgement of an old link still finds them.
"""

import struct
from collections import deque
from typing import Any, Final

HEADER: Final = struct.Struct(">HQIQ")  # sender, epoch, link, n
RESEND_INTERVAL_NS: Final = 50_000_000  # longer than a batch takes, shorter than a user notices
NACK_INTERVAL_NS: Final = 5_000_000  # unlimited NACKs storm
BASES_KEPT: Final = 16  # links whose acknowledgements may still arrive


# where a frame stands: (sender, epoch, link, n), n counts from 0 within the first three; no
# NamedTuple, whose making runs as plain Python, on the path of every order
Stamp = tuple[Any, ...]


def unpack(frame: bytes) -> tuple[Stamp, bytes]:
    """Split a frame. Raises struct.error when it is too short."""
    return HEADER.unpack_from(frame), frame[HEADER.size :]


class Sender:
    """The sending end of one link. All frames it returns are to be sent in order."""

    def __init__(self, sender: int, epoch: int) -> None:
        self.sender = sender
        self.epoch = epoch
        self.link = 0
        self.weight = 0  # messages held
        self._held: deque[tuple[bytes, int]] = deque()
        self._first = 0  # absolute index of _held[0]
        self._bases = {0: 0}  # link -> absolute index of its n = 0
        self._peer_epoch = 0
        self._expected = 0
        self._moved_ns = 0  # when the peer last made progress, or we last resent
        self._nacked_ns = 0

    @property
    def next_index(self) -> int:
        return self._first + len(self._held)

    def push(self, payload: bytes, weight: int, now_ns: int) -> bytes:
        """Hold payload until it is acknowledged and return its frame."""
        if not self._held:
            self._moved_ns = now_ns
        self._held.append((payload, weight))
        self.weight += weight
        return self._frame(self.next_index - 1)

    def ack(self, epoch: int, link: int, n: int) -> None:
        """Everything up to n of that link is done with."""
        base = self._bases.get(link)
        if epoch != self.epoch or base is None:
            return
        while self._held and self._first <= base + n:
            self.weight -= self._held.popleft()[1]
            self._first += 1

    def status(
        self, peer_epoch: int, entry: tuple[int, int, int, bool] | None, now_ns: int
    ) -> list[bytes]:
        """The receiver says what it expects next: entry = (epoch, link, expected, gap).

        Returns the frames to send again: all under a new link when the receiver is a new one,
        else those from expected on when a gap was seen or nothing moved for a while."""
        if peer_epoch < self._peer_epoch:
            return []  # a fenced receiver still talking
        known = entry is not None and entry[0] == self.epoch and entry[1] == self.link
        successor = self._peer_epoch not in (0, peer_epoch)
        self._peer_epoch = peer_epoch
        if successor and not known:
            return self.renew(now_ns)
        expected, gap = (entry[2], entry[3]) if entry is not None and known else (0, False)
        return self._catch_up(expected, gap, now_ns)

    def renew(self, now_ns: int) -> list[bytes]:
        """Open a new link and return all that is held, numbered from 0."""
        self.link += 1
        self._bases[self.link] = self._first
        self._bases.pop(self.link - BASES_KEPT, None)
        self._expected = 0
        self._moved_ns = now_ns
        return self._from(self._first)

    def _catch_up(self, expected: int, gap: bool, now_ns: int) -> list[bytes]:
        start = self._bases[self.link] + expected
        if start >= self.next_index:
            self._expected = expected
            return []
        if gap and now_ns - self._nacked_ns >= NACK_INTERVAL_NS:
            self._nacked_ns = now_ns
        elif expected != self._expected:
            self._expected = expected
            self._moved_ns = now_ns
            return []
        elif now_ns - self._moved_ns < RESEND_INTERVAL_NS:
            return []
        self._moved_ns = now_ns
        if start < self._first:
            return self.renew(now_ns)  # it wants what we no longer hold
        return self._from(start)

    def _from(self, start: int) -> list[bytes]:
        return [self._frame(i) for i in range(start, self.next_index)]

    def _frame(self, index: int) -> bytes:
        n = index - self._bases[self.link]
        return HEADER.pack(self.sender, self.epoch, self.link, n) + self._held[
            index - self._first
        ][0]


class Receiver:
    """The receiving end for any number of senders."""

    def __init__(self) -> None:
        self._expected: dict[int, tuple[int, int, int]] = {}
        self._gaps: set[int] = set()
        self.dropped = 0

    def accept(self, stamp: Stamp) -> bool:
        """Whether to take a frame: it is the next one, neither a duplicate, nor of a fenced
        sender, nor after a gap. A taken frame moves the expectation on."""
        sender, epoch, link, n = stamp
        known_epoch, known_link, expected = self._expected.get(sender, (0, -1, 0))
        if (epoch, link) < (known_epoch, known_link):
            self.dropped += 1
            return False
        if (epoch, link) > (known_epoch, known_link):
            expected = 0
            self._gaps.discard(sender)
        if n == expected:
            self._expected[sender] = (epoch, link, n + 1)
            self._gaps.discard(sender)
            return True
        self.dropped += 1
        if n > expected:
            self._expected[sender] = (epoch, link, expected)
            self._gaps.add(sender)
        return False

    def entries(self) -> list[tuple[int, int, int, int, bool]]:
        """(sender, epoch, link, expected, gap) of every sender, for a status frame."""
        return [
            (sender, epoch, link, n, sender in self._gaps)
            for sender, (epoch, link, n) in self._expected.items()
        ]

    @property
    def has_gap(self) -> bool:
        return bool(self._gaps)
