"""Sessions that the gateway before this one left behind when it died.

Invariants: the matcher knows them, so it is asked, once per lane and before anything else; who
logs on again within the grace keeps its orders, wherever that is; the others' sessions end then as
if their connections had been lost. Dying within the grace loses nothing: the next one asks again.
"""

from typing import Any, Final

from rtes.common.records import CMD_DISCONNECT, CMD_GATEWAY, CMD_LOGON, home_shard
from rtes.services.gateway.lanes import Lanes

GRACE_NS: Final = 5_000_000_000  # participants log on again within one or two seconds


class Orphans:
    """Those of one gateway."""

    def __init__(self, gateway: int, lanes: Lanes, matchers: int) -> None:
        self._gateway = gateway
        self._lanes = lanes
        self._matchers = matchers
        self._left: dict[int, tuple[int, int, int]] = {}  # account -> turn, settings, due_ns

    def ask(self, planned: bool, wall_ns: int) -> None:
        """Tell every matcher shard that this gateway has started. The first thing in a lane."""
        start = (CMD_GATEWAY, 0, wall_ns, 0, self._gateway)
        for lane, risk_shard, risk_shards in self._lanes.all():
            lane.put((*start, risk_shard, risk_shards, int(planned)))

    def add(self, notice: Any, now_ns: int) -> None:
        """The home shard names one; now that it answers, the participant can log on again."""
        _, account, gateway, turn, cancel_on_disconnect = notice
        if gateway == self._gateway:
            self._left[account] = (turn, cancel_on_disconnect, now_ns + GRACE_NS)

    def returned(self, account: int) -> None:
        """It has logged on again, here or elsewhere."""
        self._left.pop(account, None)

    def tick(self, now_ns: int, wall_ns: int) -> None:
        """End the sessions whose grace is over."""
        for account, (turn, setting, due_ns) in list(self._left.items()):
            if now_ns >= due_ns:
                del self._left[account]
                self._end(account, turn, setting, wall_ns)

    def _end(self, account: int, turn: int, setting: int, wall_ns: int) -> None:
        home = home_shard(account, self._matchers)
        for shard, lane in enumerate(self._lanes.of_account(account)):
            if shard != home:  # it may not have heard of that session: its gateway died
                start = (CMD_LOGON, account, wall_ns, 0, self._gateway, 0)
                lane.put((*start, setting, 0, turn, self._matchers))
            lane.put((CMD_DISCONNECT, account, wall_ns, 0, self._gateway, turn))
