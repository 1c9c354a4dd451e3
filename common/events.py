"""What happened, for the log: noted by pure cores, taken and written by the loop's shell.

Bounded, whatever comes: of each kind SAME_MAX are kept between two reports to health, the rest
is counted. So a flood of one kind hides no other, and noting costs a list append. Kinds are
literals of the code, never what somebody sent.
"""

from typing import Any, Final

SAME_MAX: Final = 20
Event = tuple[str, str, dict[str, Any]]  # level, what happened, details


class Events:
    """Noted since they were last taken."""

    def __init__(self) -> None:
        self._kept: list[Event] = []
        self._counts: dict[str, int] = {}

    def info(self, what: str, **details: Any) -> None:
        self._add("info", what, details)

    def warning(self, what: str, **details: Any) -> None:
        self._add("warning", what, details)

    def _add(self, level: str, what: str, details: dict[str, Any]) -> None:
        count = self._counts[what] = self._counts.get(what, 0) + 1
        if count <= SAME_MAX:
            self._kept.append((level, what, details))

    def take(self) -> list[Event]:
        """All of them, and how many of a kind were too many to keep."""
        if not self._counts:
            return []
        kept, self._kept = self._kept, []
        more = ((what, count - SAME_MAX) for what, count in self._counts.items())
        kept += [("warning", what, {"not_shown": n}) for what, n in more if n > 0]
        self._counts.clear()
        return kept
