"""What a key has done wrong lately: unreadable frames, talk without a session; who is banned.

Invariants: memory is bounded, whatever comes; a ban ends by itself; who behaves is not in here.
The key is the CURVE key, so a new connection does not wash anything off; where CURVE is off it
is the connection.
"""

from typing import Final

UNREADABLE_MAX: Final = 10  # in a minute; no honest client sends one
BAN_NS: Final = 60_000_000_000
MINUTE_NS: Final = 60_000_000_000
STRANGE_PER_S_MAX: Final = 1_000  # messages without a session that are answered; a client may
#                                   have that many under way when its gateway restarts
OFFENDERS_MAX: Final = 4_096
S_NS: Final = 1_000_000_000


class _Offender:
    __slots__ = ("banned_until_ns", "second_ns", "since_ns", "strange", "unreadable")

    def __init__(self, now_ns: int) -> None:
        self.since_ns = now_ns  # begin of the minute that is counted
        self.unreadable = 0
        self.banned_until_ns = 0
        self.second_ns = now_ns
        self.strange = 0


class Offences:
    """By key."""

    def __init__(self) -> None:
        self._by_key: dict[str | bytes, _Offender] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def _of(self, key: str | bytes, now_ns: int) -> _Offender:
        offender = self._by_key.get(key)
        if offender is None:
            if len(self._by_key) >= OFFENDERS_MAX:
                del self._by_key[next(iter(self._by_key))]  # the longest known
            offender = self._by_key[key] = _Offender(now_ns)
        return offender

    def unreadable(self, key: str | bytes, count: int, now_ns: int) -> bool:
        """Count unreadable frames; True when they were too many."""
        offender = self._of(key, now_ns)
        if now_ns - offender.since_ns >= MINUTE_NS:
            offender.since_ns, offender.unreadable = now_ns, 0
        offender.unreadable += count
        if offender.unreadable < UNREADABLE_MAX:
            return False
        offender.unreadable = 0
        return True

    def ban(self, key: str | bytes, now_ns: int) -> None:
        self._of(key, now_ns).banned_until_ns = now_ns + BAN_NS

    def banned_ms(self, key: str | bytes, now_ns: int) -> int:
        """How long the key is still banned; 0 when it is not."""
        offender = self._by_key.get(key)
        left_ns = 0 if offender is None else offender.banned_until_ns - now_ns
        return -(-max(0, left_ns) // 1_000_000)

    def strange(self, key: str | bytes, count: int, now_ns: int) -> bool:
        """Count messages without a session; False when they are too many to answer."""
        offender = self._of(key, now_ns)
        if now_ns - offender.second_ns >= S_NS:
            offender.second_ns, offender.strange = now_ns, 0
        offender.strange += count
        return offender.strange <= STRANGE_PER_S_MAX

    def forget(self, now_ns: int) -> None:
        """Drop whoever has been quiet; call it now and then."""
        quiet = [
            key
            for key, o in self._by_key.items()
            if max(o.since_ns + MINUTE_NS, o.banned_until_ns, o.second_ns + S_NS) <= now_ns
        ]
        for key in quiet:
            del self._by_key[key]
