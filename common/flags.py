"""Feature flags: for whom a feature is on. Pure.

A flag is asked for one unit. Precedence: kill > deny > allow > targeting > percentage > default;
a flag that nobody set is off, and asking never raises. A unit's bucket hangs on the flag and the
unit alone: who is in at 10 % is in at 20 %, in every process, and another flag begins with others.
The matcher asks for none of these: what changes outcomes must be in the journal. Its own flags
(`matcher`) are on or off by symbol, and switched by a command that is sequenced like an order.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

BUCKETS: Final = 100_000
METRIC: Final = "rtes_flag_evaluations_total"
FlagName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Percent = Annotated[float, Field(ge=0, le=100)]


class Flag(NamedTuple):
    """A flag that the exchange asks for."""

    unit: Literal["account", "session", "symbol"]
    help: str
    matcher: bool = False  # switched by a sequenced command; it has no rule


NO_SELF_TRADES: Final = "no_self_trades"
FAIR_CREDIT: Final = "fair_credit"
KNOWN: Final[Mapping[str, Flag]] = {
    FAIR_CREDIT: Flag(
        "account",
        "while a lane of the gateway is half full, a session may have a quarter of its credit "
        "unanswered, so that nobody fills it for the others",
    ),
    NO_SELF_TRADES: Flag(
        "symbol",
        "orders that name no self_match_prevention_id never trade with others of their account "
        "that came since it is on; what happens instead is their instruction",
        matcher=True,
    ),
}
# One for all, or not at all: with two engines on one book, orders would miss each other.
WHOLE_EXCHANGE: Final = ("new_matching_engine",)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(_Model):
    """Units whose attribute has one of the values get on. A value that ends in * is a prefix."""

    attribute: str  # account, role: whatever is said of the unit where the flag is asked for
    values: list[str]
    on: bool = True

    def matches(self, attributes: Mapping[str, str]) -> bool:
        """Whether it decides about who has these attributes."""
        value = attributes.get(self.attribute)
        return value is not None and any(
            value.startswith(v[:-1]) if v.endswith("*") else value == v for v in self.values
        )


class Targeting(_Model):
    """Who is in or out by name, then by attribute: the first rule that matches decides."""

    deny: list[str] = []
    allow: list[str] = []
    rules: list[Target] = []


class Rule(_Model):
    """For whom one flag is on. enabled False kills it; None leaves it to the percentage."""

    enabled: bool | None = None
    percent: Percent | None = None
    targeting: Targeting = Targeting()


class Decision(NamedTuple):
    """reason: unset, kill, deny, allow, targeting, percentage or default."""

    on: bool
    reason: str


def bucket(name: str, unit: str) -> int:
    """0..99,999. Never change this: it would draw all units anew."""
    digest = blake2b(unit.encode(), key=name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def decide(name: str, rule: Rule | None, unit: str, attributes: Mapping[str, str]) -> Decision:
    """What the rule says of a unit."""
    if rule is None:
        return Decision(False, "unset")
    targeting = rule.targeting
    if rule.enabled is False:
        return Decision(False, "kill")
    if unit in targeting.deny:
        return Decision(False, "deny")
    if unit in targeting.allow:
        return Decision(True, "allow")
    for target in targeting.rules:
        if target.matches(attributes):
            return Decision(target.on, "targeting")
    if rule.percent is not None:
        return Decision(bucket(name, unit) < round(rule.percent * 1_000), "percentage")
    return Decision(rule.enabled is True, "default")


def fault(name: str, rule: Rule) -> str | None:
    """Why a flag cannot have this rule."""
    if name.startswith("enable_"):
        return f"{name} is named twice: write the flag's name without enable_"
    if name in KNOWN and KNOWN[name].matcher:
        return (
            f"{name} changes what the matcher decides, so it is switched by a sequenced command "
            "and not by the configuration: rtes flags set"
        )
    some = rule.percent not in (None, 0, 100) or rule.targeting != Targeting()
    if name in WHOLE_EXCHANGE and some:
        return (
            f"{name} cannot be on for some only: two matching engines on one book would not see "
            "each other's orders; roll it out as a release"
        )
    return None


def effective(configured: Mapping[str, Rule], over: Mapping[str, Rule]) -> dict[str, Rule]:
    """The rules that hold: an operator's stands in place of the configuration's."""
    return {**configured, **over}


class FeatureFlags:
    """The flags as they are now, and how often each was on and off."""

    def __init__(self, rules: Mapping[str, Rule] | None = None) -> None:
        self.rules = dict(rules or {})
        self._counts: dict[str, float] = {}

    def is_enabled(self, name: str, unit: str, attributes: Mapping[str, str]) -> bool:
        """Whether the flag is on for this unit."""
        on = decide(name, self.rules.get(name), unit, attributes).on
        counter = f"{METRIC}.{name}.{'on' if on else 'off'}"
        self._counts[counter] = self._counts.get(counter, 0.0) + 1
        return on

    def counters(self) -> dict[str, float]:
        """For metrics: evaluations by flag and variant."""
        return dict(self._counts)
