"""Operations on feature flags: list, set, explain.

What an operator sets stands in place of the configuration's rule of that flag, in a file of its
own that services look at twice a second: it holds over restarts, until it is cleared. A flag of
the matcher is asked for and switched by sequenced commands instead.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from rtes.common import flags
from rtes.common.config import Config
from rtes.common.config_env import did_you_mean
from rtes.common.enums import FlagAction
from rtes.common.errors import OperatorError
from rtes.common.flags import KNOWN, Rule, Targeting
from rtes.common.live import as_run, read_rules
from rtes.common.paths import Paths
from rtes.common.storage import replace
from rtes.control.desk import Desk, Plan
from rtes.control.switches import switch_flag


@dataclass(frozen=True)
class Rules:
    """By flag; over is what operators set."""

    configured: Mapping[str, Rule]
    over: Mapping[str, Rule]

    @classmethod
    def of(cls, config: Config, paths: Paths) -> "Rules":
        """As services have them now. Raises OperatorError."""
        file = paths.flags_file
        try:
            return cls(as_run(config).feature_flags.rules(), read_rules(file))
        except ValueError as error:
            raise OperatorError(f"{file} cannot be read: {error}; remove it, set again") from None

    @property
    def effective(self) -> dict[str, Rule]:
        return flags.effective(self.configured, self.over)

    def check(self, name: str) -> None:
        """Raises OperatorError for a flag that there is not."""
        names = [*KNOWN, *self.effective]
        if name not in names:
            raise OperatorError(
                f"there is no flag {name}{did_you_mean(name, names)}; rtes flags list names all"
            )


def listed(desk: Desk) -> Plan:
    """Every flag that is asked for or set: its rule, who set it, who is on."""
    rules = Rules.of(desk.config, desk.paths)
    names = sorted([*{**KNOWN, **rules.effective}])

    def rows() -> list[dict[str, Any]]:
        return [
            _matcher_row(name, _where(desk, name)) if _of_matcher(name) else _row(name, rules)
            for name in names
        ]

    return Plan("feature flags", rows)


def _of_matcher(name: str) -> bool:
    return name in KNOWN and KNOWN[name].matcher


def _where(desk: Desk, name: str) -> str:
    """The symbols where a flag of the matcher is on, as the matcher says."""
    try:
        return ", ".join(switch_flag(desk.config, name, FlagAction.TELL)) or "nobody"
    except OperatorError as error:
        return f"not known: {error}"


def _matcher_row(name: str, where: str) -> dict[str, Any]:
    known = KNOWN[name]
    source = "sequenced command" if where != "nobody" else ""
    return {
        "flag": name, "on_for": where, "set_by": source, "unit": known.unit, "what": known.help
    }  # fmt: skip


def _row(name: str, rules: Rules) -> dict[str, Any]:
    known, rule = KNOWN.get(name), rules.effective.get(name)
    source = "operator" if name in rules.over else "configuration" if rule else ""
    return {
        "flag": name,
        "on_for": _for_whom(rule),
        "set_by": source,
        "unit": known.unit if known else "",
        "what": known.help if known else "no service asks for it",
    }


def _for_whom(rule: Rule | None) -> str:
    if rule is None or rule.enabled is False:
        return "nobody" if rule is None else "nobody (killed)"
    targeting = rule.targeting
    if rule.percent is not None:
        said = f"{rule.percent:g} %"
    else:
        said = "all" if rule.enabled else "nobody else" if targeting.allow else "nobody"
    parts = [*targeting.allow, *(f"{t.attribute} rule" for t in targeting.rules), said]
    without = f" but {', '.join(targeting.deny)}" if targeting.deny else ""
    return ", ".join(parts) + without


def change(
    desk: Desk,
    name: str,
    enabled: bool | None = None,
    percent: float | None = None,
    allow: Sequence[str] = (),
    deny: Sequence[str] = (),
    clear: bool = False,
    symbol: str = "",
) -> Plan:
    """Set a flag, or with clear leave it to the configuration again. Answers its row.

    enabled or percent replace each other; allow and deny replace the names there were. symbol is
    for flags of the matcher, which are on or off in one or in all."""
    rules = Rules.of(desk.config, desk.paths)
    rules.check(name)
    if _of_matcher(name):
        if enabled is None or allow or deny or clear:
            raise OperatorError(f"{name} is the matcher's: --on or --off, for all or one --symbol")
        return _switch(desk, name, enabled, symbol)
    if symbol:
        raise OperatorError(f"{name} is not the matcher's: --allow and --deny name its units")
    over = {n: r for n, r in rules.over.items() if n != name}
    old = rules.effective.get(name)
    if not clear:
        over[name] = _changed(name, old or Rule(), enabled, percent, allow, deny)
    after = Rules(rules.configured, over)
    new = after.effective.get(name)

    def apply() -> dict[str, Any]:
        saved = {n: r.model_dump() for n, r in over.items()}
        replace(desk.paths.flags_file, json.dumps(saved, indent=2) + "\n")
        return _row(name, after)

    return Plan(f"flag {name}", apply, _plain(old), _plain(new))


def _switch(desk: Desk, name: str, enabled: bool, symbol: str) -> Plan:
    action = FlagAction.ON if enabled else FlagAction.OFF

    def apply() -> dict[str, Any]:
        on = switch_flag(desk.config, name, action, symbol)
        return _matcher_row(name, ", ".join(on) or "nobody")

    what = f"flag {name} in {symbol or 'all symbols'}"
    return Plan(what, apply, new=action.name.lower())


def _changed(
    name: str,
    rule: Rule,
    enabled: bool | None,
    percent: float | None,
    allow: Sequence[str],
    deny: Sequence[str],
) -> Rule:
    """Raises OperatorError."""
    if enabled is not None or percent is not None:
        rule = rule.model_copy(update={"enabled": enabled, "percent": percent})
    named = {k: list(v) for k, v in (("allow", allow), ("deny", deny)) if v}
    try:
        targeting = Targeting.model_validate({**rule.targeting.model_dump(), **named})
        rule = Rule.model_validate({**rule.model_dump(), "targeting": targeting})
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise OperatorError(f"flag {name}: {said}") from None
    if (why := flags.fault(name, rule)) is not None:
        raise OperatorError(why)
    return rule


def _plain(rule: Rule | None) -> Any:
    return None if rule is None else rule.model_dump(exclude_defaults=True)


def explain(desk: Desk, name: str, unit: str, attributes: Mapping[str, str] | None = None) -> Plan:
    """Whether the flag is on for a unit, and why."""
    rules = Rules.of(desk.config, desk.paths)
    rules.check(name)
    if _of_matcher(name):
        on_for = _where(desk, name)
        state = {"flag": name, "unit": unit, "on": unit in on_for.split(", ")}
        return Plan(f"flag {name}", lambda: {**state, "reason": f"it is on for {on_for}"})
    rule = rules.effective.get(name)
    on, reason = flags.decide(name, rule, unit, attributes or {})
    answer = {
        "flag": name,
        "unit": unit,
        "on": on,
        "reason": reason,
        "bucket_percent": flags.bucket(name, unit) * 100 / flags.BUCKETS,
        "percent": None if rule is None else rule.percent,
    }
    return Plan(f"flag {name}", lambda: answer)
