"""Alert rules and dashboard ask for metrics that exist; every alert has its runbook and test."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rtes.services.health.names import HELP

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
RULES_TEST = RULES.with_name("rules_test.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
RUNBOOKS = ROOT / "docs" / "runbooks"
METRIC = re.compile(r"rtes_[a-z0-9_]+|rtes:[a-z0-9_:]+")
THE_GUIDES = """
  - alert: DeploymentFailed
    expr: rtes_deployment_status != 1
    for: 5m
    labels:
      severity: critical
    annotations:
      summary: "RTES deployment failed"

  - alert: HighErrorRate
    expr: rtes_error_rate > 0.05
    for: 2m
    labels:
      severity: warning
    annotations:
      summary: "High error rate during deployment"
"""


def rules(kind: str) -> list[str]:
    """The text of each rule of a kind: alert or record."""
    pieces = re.split(r"\n\s*- (?=alert:|record:)|\n- name:", RULES.read_text())
    return [p for p in pieces if p.startswith(f"{kind}:")]


def named(rule: str) -> str:
    return rule.partition("\n")[0].partition(":")[2].strip()


def expression(rule: str) -> str:
    found = re.search(r"expr: (.*)", rule)
    assert found
    return found.group(1)


RECORDED = {named(r) for r in rules("record")}
ALERTS = {named(r): r for r in rules("alert")}


def unknown(query: str) -> list[str]:
    """Metrics of a query that nobody has."""
    names = METRIC.findall(query)
    assert names, query
    plain = [re.sub(r"_(bucket|count|sum)$", "", n) for n in names]
    return [n for n in plain if n not in HELP and n not in RECORDED]


def test_rules_are_found() -> None:
    assert len(ALERTS) >= 15
    assert RECORDED


@pytest.mark.parametrize("rule", [*rules("alert"), *rules("record")], ids=named)
def test_rules_ask_for_metrics_that_exist(rule: str) -> None:
    assert unknown(expression(rule)) == []


def test_the_rule_about_metrics_sees_one_that_does_not_exist() -> None:
    assert unknown("rate(rtes_nothing_total[5m])") == ["rtes_nothing_total"]


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_complete(name: str) -> None:
    rule = ALERTS[name]
    assert re.search(r"severity: (critical|warning)\n", rule)
    assert re.search(r'summary: ".+"\n', rule)
    assert re.search(r'description: ".+"\n', rule)
    runbook = re.search(r"runbook_url: docs/runbooks/(\w+\.md)", rule)
    assert runbook
    text = (RUNBOOKS / runbook.group(1)).read_text()
    assert "## What to do" in text
    assert re.search(r"\nWalked through: .+\.\n$", text)
    assert name in RULES_TEST.read_text()


def test_every_runbook_is_somebodys() -> None:
    used = set(re.findall(r"docs/runbooks/(\w+)\.md", RULES.read_text()))
    assert {p.stem for p in RUNBOOKS.glob("*.md")} == used


def test_the_guides_two_rules_are_verbatim() -> None:
    plain = re.sub(r"\n *(description|runbook_url):.*", "", RULES.read_text())
    for rule in THE_GUIDES.strip("\n").split("\n\n"):
        assert rule in plain


def test_promtool_is_content() -> None:
    promtool = shutil.which("promtool")
    assert promtool, "Debian package prometheus is missing; .ci/run installs it"
    for what, file in (("check", RULES), ("test", RULES_TEST)):
        done = subprocess.run(
            [promtool, what, "rules", file],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def queries(tree: Any) -> list[str]:
    """Every expr in the dashboard."""
    if isinstance(tree, list):
        return [q for item in tree for q in queries(item)]
    if isinstance(tree, dict):
        own = [tree["expr"]] if "expr" in tree else []
        return own + [q for value in tree.values() for q in queries(value)]
    return []


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    found = queries(dashboard)
    assert len(found) >= len(dashboard["panels"])
    assert [q for q in found if unknown(q)] == []


def test_the_dashboards_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        taken |= cells
