"""Feature flags: stable nested buckets, the order of precedence, the guide's block."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rtes.common.config import ConfigError, load
from rtes.common.config_schema import FeatureFlags as Section
from rtes.common.config_schema import is_live
from rtes.common.flags import FeatureFlags, Rule, Target, Targeting, bucket, decide

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "flags.json").read_text())
GUIDE = {
    "enable_new_matching_engine": True,
    "enable_enhanced_risk_checks": True,
    "enable_market_data_compression": False,
    "rollout_percentages": {"new_ui_features": 25.0, "advanced_analytics": 10.0},
}
UNITS = [f"account{i}" for i in range(20_000)]


def on(rule: Rule | None, unit: str = "DEMO1", **attributes: str) -> tuple[bool, str]:
    return decide("fair_credit", rule, unit, attributes)


def share(percent: float) -> set[str]:
    return {u for u in UNITS if on(Rule(percent=percent), u)[0]}


@pytest.mark.parametrize("name", GOLDEN)
def test_buckets_never_change(name: str) -> None:
    assert {unit: bucket(name, unit) for unit in GOLDEN[name]} == GOLDEN[name]


@given(st.text(), st.floats(0, 100), st.floats(0, 100))
def test_who_is_in_stays_in_when_the_percentage_grows(unit: str, a: float, b: float) -> None:
    low, high = sorted((a, b))
    if on(Rule(percent=low), unit)[0]:
        assert on(Rule(percent=high), unit)[0]


def test_a_percentage_is_that_share_and_flags_draw_apart() -> None:
    for percent in (1, 10, 50):
        expected = len(UNITS) * percent / 100
        assert abs(len(share(percent)) - expected) < 5 * expected**0.5
    assert share(0) == set()
    assert share(100) == set(UNITS)
    both = [u for u in share(10) if bucket("new_ui_features", u) < 10_000]
    assert 120 < len(both) < 280  # a tenth of a tenth, not the same tenth


def test_precedence() -> None:
    named = Targeting(
        deny=["DEMO1"], allow=["DEMO1", "DEMO2"],
        rules=[Target(attribute="role", values=["op*"], on=False),
               Target(attribute="role", values=["operator", "maker"])],
    )  # fmt: skip
    assert on(None) == (False, "unset")
    assert on(Rule(enabled=False, percent=100, targeting=named), "DEMO2") == (False, "kill")
    assert on(Rule(enabled=True, targeting=named), "DEMO1") == (False, "deny")
    assert on(Rule(percent=0, targeting=named), "DEMO2") == (True, "allow")
    assert on(Rule(targeting=named), "X", role="operator") == (False, "targeting")
    assert on(Rule(percent=0, targeting=named), "X", role="maker") == (True, "targeting")
    assert on(Rule(percent=100, targeting=named), "X") == (True, "percentage")
    assert on(Rule(percent=0, enabled=True), "X") == (False, "percentage")
    assert on(Rule(enabled=True), "X") == (True, "default")
    assert on(Rule(), "X") == (False, "default")


def test_the_guides_block() -> None:
    rules = Section.model_validate(GUIDE).rules()
    assert rules["enhanced_risk_checks"] == Rule(enabled=True)
    assert rules["market_data_compression"] == Rule(enabled=False)
    assert rules["new_ui_features"] == Rule(percent=25)
    assert rules["advanced_analytics"] == Rule(percent=10)
    again = Section.model_validate_json(Section.model_validate(GUIDE).model_dump_json())
    assert again.rules() == rules


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"rollout_percentages": {"new_matching_engine": 50}}, "two matching engines on one book"),
        ({"rollout_percentages": {"fair_credit": 101}}, "less than or equal to 100"),
        ({"rollout_percentages": {"enable_fair_credit": 1}}, "without enable_"),
        ({"enable_fair_credit": "maybe"}, "valid boolean"),
        ({"fair_credit": True}, "Extra inputs"),
        ({"targeting": {"fair_credit": {"allowed": []}}}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(block: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Section.model_validate(block)


def test_in_a_file_and_overridden(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    tree = {"environment": "dev", "mesh": {"run_dir": "run"}, "feature_flags": GUIDE}
    file.write_text(json.dumps(tree))
    assert load(file, {}).feature_flags.rules()["new_ui_features"] == Rule(percent=25)
    name = "RTES__FEATURE_FLAGS__ROLLOUT_PERCENTAGES"
    over = load(file, {name: '{"new_ui_features": 50}'}).feature_flags.rules()
    assert over["new_ui_features"] == Rule(percent=50)
    assert over["market_data_compression"] == Rule(enabled=False)
    with pytest.raises(ConfigError, match="not JSON"):
        load(file, {name: "new_ui_features"})


def test_they_change_while_the_exchange_runs() -> None:
    assert is_live("feature_flags.rollout_percentages")


def test_evaluations_are_counted_by_flag_and_variant() -> None:
    flags = FeatureFlags({"fair_credit": Rule(targeting=Targeting(allow=["DEMO1"]))})
    assert flags.is_enabled("fair_credit", "DEMO1", {})
    assert not flags.is_enabled("fair_credit", "DEMO2", {})
    assert not flags.is_enabled("fair_credit", "DEMO3", {})
    assert flags.counters() == {
        "rtes_flag_evaluations_total.fair_credit.on": 1,
        "rtes_flag_evaluations_total.fair_credit.off": 2,
    }
