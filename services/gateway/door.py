"""Who may come in: bans for unreadable frames, talk without a session, what a logon needs.

Answers are returned, never sent. A refusal of a logon says nothing about which accounts exist.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rtes.common import messages as m
from rtes.common.events import Events
from rtes.common.refdata import Account
from rtes.common.refusals import Code, explain
from rtes.services.gateway.admission import UNREADABLE_CODES, refuse
from rtes.services.gateway.limits import LOGON_RETRY_MS, Full, GatewayLimits
from rtes.services.gateway.offences import BAN_NS, UNREADABLE_MAX, Offences

Key = str | bytes


def account_finder(
    named: Callable[[str], Account | None], check_keys: bool
) -> Callable[[str, str], Account | None]:
    """(CURVE key, account name) -> the account, when it is the key's own."""

    def find(user: str, name: str) -> Account | None:
        account = named(name)
        if account is None or (check_keys and account.public_key != user):
            return None
        return account

    return find


class TurnedAway(NamedTuple):
    """Nothing of the frame is taken; with hang_up its connection ends."""

    told: Sequence[m.Outbound]
    hang_up: bool
    why: str


class Door:
    """Of one gateway."""

    def __init__(self, limits: GatewayLimits) -> None:
        self._limits = limits
        self._offences = Offences()
        self.events = Events()
        self._rejects = self._bans = self._ignored = 0

    def turn_away(
        self, key: Key, messages: Sequence[m.Inbound], rejects: list[m.Reject], now_ns: int
    ) -> TurnedAway | None:
        """Whether the key is banned, of which only a Logon is told, or is from now on."""
        left_ms = self._offences.banned_ms(key, now_ns)
        if left_ms:
            self._ignored += len(messages) + len(rejects)
            logon = next((x for x in messages if type(x) is m.Logon), None)
            banned = Full(Code.BANNED, 0, 0, left_ms)
            told = [] if logon is None else [self.refuse(logon, key, banned)]
            return TurnedAway(told, True, "banned")
        if not rejects:
            return None
        self._rejects += len(rejects)
        unreadable = sum(r.reject_code in UNREADABLE_CODES for r in rejects)
        if not unreadable or not self._offences.unreadable(key, unreadable, now_ns):
            return None
        why = f"{UNREADABLE_MAX} unreadable frames within a minute"
        return TurnedAway([m.Logout(self.ban(key, why, now_ns))], True, why)

    def ban(self, key: Key, why: str, now_ns: int) -> str:
        """Let nobody in with this key for a while; returns what to tell who is in."""
        self._offences.ban(key, now_ns)
        self._bans += 1
        self.events.warning("key banned", key=key, why=why)
        return f"{why}: log on again after {BAN_NS // 10**9} s"

    def strangers(
        self, key: Key, messages: Sequence[m.Inbound], rejects: list[m.Reject], now_ns: int
    ) -> list[m.Outbound]:
        """What messages without a session are told; nothing once there are too many of them."""
        count = len(messages) + len(rejects)
        if not count:
            return []
        if not self._offences.strange(key, count, now_ns):
            self._ignored += count
            self.events.warning("flood without a session", key=key)
            return []
        return [*rejects, *(refuse(x, Code.NOT_LOGGED_ON) for x in messages)]

    def refusal(
        self, message: Any, account: Account | None, held: int, sessions: int
    ) -> Full | None:
        """Why a Logon opens no session. held: commands in the fullest lane of the account."""
        limits, version = self._limits, message.protocol_version
        if version not in (m.PROTOCOL_VERSION, m.PROTOCOL_VERSION - 1):
            return Full(Code.VERSION, m.PROTOCOL_VERSION, version)
        if account is None:
            return Full(Code.NOT_AUTHORIZED)
        if sessions >= limits.sessions_max:
            return Full(Code.BUSY, limits.sessions_max, sessions, LOGON_RETRY_MS)
        return self.unfit(message, held)

    def refuse(self, message: Any, key: Key, full: Full) -> m.BusinessMessageReject:
        """The refusal of a Logon."""
        why = explain(full.code, full.limit, full.value)
        named = {"account": message.sender_comp_id, "key": key}
        self.events.warning("session refused", **named, code=full.code.name, why=why)
        return refuse(message, *full)

    def unfit(self, message: Any, held: int) -> Full | None:
        """Why a Logon is not sequenced, whether or not there is a session already."""
        longest, window = self._limits.heart_bt_int_max, self._limits.lane_window
        if message.heart_bt_int > longest:
            return Full(Code.HEART_BT_INT, longest, message.heart_bt_int)
        return Full(Code.BUSY, window, held, LOGON_RETRY_MS) if held >= window else None

    def tick(self, now_ns: int) -> None:
        self._offences.forget(now_ns)

    def counters(self) -> dict[str, float]:
        """For metrics."""
        return {
            "rtes_rejects_total": self._rejects,
            "rtes_bans_total": self._bans,
            "rtes_ignored_total": self._ignored,
        }
