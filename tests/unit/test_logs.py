"""Logs: structured, bounded, masked, and with no way to forge a line."""

import io
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rtes.common import logs

KEY = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(environment: str, level: str = "INFO", **values: Any) -> str:
    out = io.StringIO()
    writer = logs.start(environment, level, out, service="gateway", shard=0)
    logs.get().info("it happened", **values)
    writer.close()
    return out.getvalue()


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_json_lines_where_machines_read(environment: str) -> None:
    record = json.loads(logged(environment, seq=7, cl_ord_id=12))
    ts = record.pop("ts")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", ts)
    assert record == {
        "level": "info", "event": "it happened", "service": "gateway", "shard": 0, "seq": 7,
        "cl_ord_id": 12,
    }  # fmt: skip


def test_a_readable_line_in_dev() -> None:
    line = logged("dev", seq=7)
    assert line.endswith("Z INFO it happened service='gateway' shard=0 seq=7\n")


def test_the_level_is_that_of_the_configuration() -> None:
    assert logged("prod", "WARNING") == ""


@pytest.mark.parametrize("environment", ["dev", "prod"])
@pytest.mark.parametrize(
    "values",
    [
        {"secret_key": "hunter2"},
        {"tls_key_passphrase": "hunter2"},
        {"http_token": "hunter2"},
        {"nested": {"password": "hunter2", "list": [{"secret": "hunter2"}]}},
        {"said": f"key {KEY} is"},
        {"said": "ENC[v1,AES256_GCM,k,aXY=,hunter2]"},
    ],
)
def test_secrets_are_masked(environment: str, values: dict[str, Any]) -> None:
    line = logged(environment, **values)
    assert logs.MASK in line
    assert "hunter2" not in line
    assert KEY not in line


@given(st.text(), st.sampled_from(["dev", "prod"]))
def test_no_value_makes_a_line_of_its_own(text: str, environment: str) -> None:
    line = logged(environment, account=text)
    assert len(line.splitlines()) == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", line)


class Stuck(io.StringIO):
    """Takes nothing until it is let go, like a pipe that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    def write(self, text: str) -> int:
        self.free.wait(10)
        return super().write(text)


def test_a_reader_that_is_stuck_delays_nobody_and_what_is_dropped_is_counted() -> None:
    out = Stuck()
    writer = logs.LogWriter(out, as_json=True, records_max=100)
    for number in range(1_000):
        writer.put({"event": "x", "number": number})
    assert 898 <= writer.dropped <= 900  # the thread may hold one
    out.free.set()
    writer.close(5)
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert sum(r["event"] == "x" for r in records) == 1_000 - writer.dropped
    told = [r["total"] for r in records if r["event"] == "logs dropped"]
    assert told == [writer.dropped]


class Full(io.StringIO):
    """A disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_counted() -> None:
    writer = logs.LogWriter(Full(), as_json=True)
    writer.put({"event": "x"})
    writer.close()
    assert writer.dropped == 2  # the line, and the line that says so


def test_an_exception_is_one_line() -> None:
    out = io.StringIO()
    writer = logs.start("prod", "INFO", out)
    try:
        raise ValueError("no\nway")
    except ValueError:
        logs.get().exception("it failed")
    writer.close()
    (line,) = out.getvalue().splitlines()
    assert "ValueError" in json.loads(line)["exception"]


def test_no_core_logs() -> None:
    """What decides orders cannot log: it imports no part of it, not even through its shell."""
    root = Path(__file__).resolve().parents[2]
    shells = ("__main__.py", "shell.py")
    cores = [p for p in (root / "services").rglob("*.py") if p.name not in shells]
    assert len(cores) > 30
    named = re.compile(r"import .*\blogs\b|structlog|import logging")
    assert [str(p) for p in cores if named.search(p.read_text())] == []
