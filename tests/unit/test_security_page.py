"""Every test that docs/security.md calls on exists under that name."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_threat_table_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", page)
    assert len(named) > 30
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).exists() or f"def {test}(" not in (ROOT / file).read_text()
    ]
    assert missing == []


def test_every_threat_has_a_test() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    rows = page.split("## Threats")[1].split("## How to")[0].strip().splitlines()[2:]
    assert [row for row in rows if "`tests/" not in row] == []
