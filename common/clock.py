"""The only file that reads time: wall nanoseconds for business, monotonic for timeouts."""

import time

from rtes.common.native import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Clock:
    """The real clock; the simulator passes its own with the same two methods."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()
