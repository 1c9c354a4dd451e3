"""The audit log and the desk: what is changed by hand is found, what cannot be written is not
done (but the emergency stop is), who lacks a role is refused and named.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rtes.client.cli import cli
from rtes.common.access import PERMISSIONS, AccessError
from rtes.common.config import Config, load
from rtes.common.errors import OperatorError
from rtes.common.paths import Paths
from rtes.control.audit import AuditError, AuditLog, digest
from rtes.control.desk import EMERGENCY, Desk, Operation, Plan
from rtes.control.operations import OPERATIONS

ME = f"uid:{os.getuid()}"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"environment": "dev", "mesh": {"run_dir": str(tmp_path / "run")}}))
    return load(path, {})


@pytest.fixture
def log(config: Config) -> AuditLog:
    """With three records."""
    Paths(config).prepare()
    log = AuditLog(Paths(config))
    for number in range(3):
        log.append(ME, "test", object=f"thing {number}", old=number, new=number + 1)
    assert log.verify().seq == 3
    return log


def rechained(lines: list[str]) -> list[str]:
    """As a forger would write them: every hash right, but not the head."""
    previous, made = "0" * 64, []
    for seq, line in enumerate(lines, 1):
        record = {**json.loads(line), "seq": seq, "prev": previous}
        record["hash"] = previous = digest(record)
        made.append(json.dumps(record))
    return made


Tamper = Callable[[list[str]], list[str]]
TAMPERED: dict[str, tuple[Tamper, str]] = {
    "edit": (lambda x: [x[0], x[1].replace("thing 1", "thing 9"), x[2]], "record 2 is not as it"),
    "delete the middle": (lambda x: [x[0], x[2]], "record 2 is missing"),
    "delete the first": (lambda x: x[1:], "record 1 is missing"),
    "cut the end": (lambda x: x[:-1], "its end was cut"),
    "empty": (lambda _: [], "its end was cut"),
    "swap": (lambda x: [x[0], x[2], x[1]], "record 2 is missing or out of place"),
    "repeat": (lambda x: [*x, x[2]], "record 4 is missing or out of place"),
    "garbage": (lambda x: [*x[:2], "{"], "is not a record"),
    "rewrite": (
        lambda x: rechained([x[0], x[1].replace("thing 1", "thing 9"), x[2]]),
        "the log was rewritten",
    ),
    "rewrite and cut": (lambda x: rechained(x[:2]), "its end was cut"),
    "rewrite and add": (lambda x: rechained([*x, x[2]]), "added to by hand"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_found(log: AuditLog, how: str) -> None:
    tamper, says = TAMPERED[how]
    lines = tamper(log.file.read_text().splitlines())
    log.file.write_text("".join(line + "\n" for line in lines))
    with pytest.raises(AuditError, match=says):
        log.verify()


def test_a_log_that_was_cut_takes_no_more_records(log: AuditLog) -> None:
    lines = log.file.read_text().splitlines()
    for kept in (lines[:-1], []):
        log.file.write_text("".join(line + "\n" for line in kept))
        with pytest.raises(AuditError):
            log.append(ME, "test")


def test_the_head_is_neither_forged_nor_removed(log: AuditLog, config: Config) -> None:
    head = Paths(config).audit_head_file
    kept = head.read_text()
    head.write_text(kept.replace('"seq": 3', '"seq": 2'))
    with pytest.raises(AuditError, match="not written by this exchange"):
        log.verify()
    head.unlink()
    with pytest.raises(AuditError, match="is gone"):
        log.verify()


def test_a_death_in_the_middle_of_a_record_is_no_alarm(log: AuditLog, config: Config) -> None:
    head, file = Paths(config).audit_head_file, log.file
    whole, before = file.read_text(), head.read_text()
    for length in (len(whole), len(whole) - len(whole.splitlines()[-1]) - 1):
        file.write_text(whole)
        head.write_text(before)
        script = (
            "import os, sys; from pathlib import Path; from rtes.common.config import load\n"
            "from rtes.common.paths import Paths; from rtes.control import audit\n"
            "real, calls = audit.replace, []\n"
            "def dying(path, text):\n"
            "    if calls: os._exit(9)\n"
            "    calls.append(path); real(path, text)\n"
            "audit.replace = dying\n"
            "audit.AuditLog(Paths(load(sys.argv[1], {}))).append('uid:0', 'test')\n"
        )
        config_file = str(config.mesh.run_dir.parent / "config.json")
        died = subprocess.run([sys.executable, "-c", script, config_file], check=False)
        assert died.returncode == 9
        if length < len(whole):
            file.write_text(whole)  # as if it had died before the line was written
        expected = 4 if length == len(whole) else 3
        assert log.verify().seq == expected
        assert log.append(ME, "test") == expected + 1
        assert log.verify().seq == expected + 1


def test_a_secret_is_a_keyed_fingerprint(log: AuditLog, config: Config) -> None:
    one = log.fingerprint("hunter2")
    assert one == log.fingerprint("hunter2") != log.fingerprint("hunter3")
    Paths(config).key_file("audit").chmod(0o640)
    with pytest.raises(OperatorError, match="chmod 600"):
        log.fingerprint("hunter2")


def test_a_reason_cannot_pass_for_a_record(log: AuditLog) -> None:
    log.append(ME, "test", reason='x"}\n{"seq": 9}\x1b[2J', object="y" * 9_000)
    assert log.verify().seq == 4
    assert max(len(line) for line in log.file.read_text().splitlines()) < 5_000


# ------------------------------------------------------------ the desk

done: list[str] = []


def plan(desk: Desk) -> Plan:
    return Plan("thing", lambda: done.append("x"))


OPERATIONS_HERE = {
    "change": Operation("config:write", plan),
    "stop": Operation(EMERGENCY, plan),
    "read": Operation("config:read", plan, changes=False),
}


def test_who_lacks_a_permission_is_told_which_and_recorded(config: Config) -> None:
    done.clear()
    desk = Desk(config, OPERATIONS_HERE)
    with pytest.raises(AccessError, match="uid:99999 may not change: it lacks the permission"):
        desk.perform("uid:99999", "change", {}, "curious")
    assert done == []
    (record,) = desk.audit.records()
    assert record["actor"] == "uid:99999"
    assert record["outcome"] == "refused: lacks config:write"
    assert record["reason"] == "curious"


def test_without_a_record_nothing_is_changed_but_the_emergency_stop(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    done.clear()
    desk = Desk(config, OPERATIONS_HERE)
    desk.perform(ME, "change", {})
    assert done == ["x"]
    desk.audit.file.unlink()
    desk.audit.file.mkdir()  # cannot be opened, by root neither
    with pytest.raises(AuditError, match="cannot be written"):
        desk.perform(ME, "change", {})
    assert done == ["x"]
    desk.perform(ME, "stop", {})
    assert done == ["x", "x"]
    assert "emergency stop without a record" in capsys.readouterr().err
    with pytest.raises(AccessError, match=r"lacks the permission config:read.*cannot be written"):
        desk.perform("uid:99999", "read", {})


def test_a_change_that_fails_is_recorded_as_failed(config: Config) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    failing = Operation("config:write", lambda _desk: Plan("thing", fail))
    desk = Desk(config, {"change": failing})
    with pytest.raises(OSError, match="No space"):
        desk.perform(ME, "change", {})
    assert [r.get("outcome", "") for r in desk.audit.records()] == [
        "", "failed: [Errno 28] No space left on device"
    ]  # fmt: skip


def test_an_emergency_that_fails_without_a_record_says_why(config: Config) -> None:
    def fail() -> None:
        raise OperatorError("no answer from tcp://127.0.0.1:8888")

    desk = Desk(config, {"stop": Operation(EMERGENCY, lambda _desk: Plan("all", fail))})
    desk.audit.file.mkdir()  # cannot be opened, by root neither
    with pytest.raises(OperatorError, match="no answer from"):
        desk.perform(ME, "stop", {})


@pytest.mark.parametrize("role", PERMISSIONS)
def test_each_role_may_what_it_holds_and_nothing_else(config: Config, role: str) -> None:
    desk = Desk(config, OPERATIONS)
    desk.perform(ME, "access grant", {"identity": "uid:4242", "role": role})
    for name, operation in OPERATIONS.items():
        allowed = desk.access.may("uid:4242", operation.permission)
        assert allowed == (operation.permission in PERMISSIONS[role]), name
        if not allowed:
            with pytest.raises(AccessError, match=operation.permission):
                desk.perform("uid:4242", name, {})


def rtes(config: Config, *arguments: str) -> Result:
    file = str(config.mesh.run_dir.parent / "config.json")
    return CliRunner().invoke(cli, [*arguments, "--profile", file])


def test_grants_on_the_command_line(config: Config) -> None:
    assert rtes(config, "access", "grant", "uid:7", "viewer").stdout == "uid:7 holds viewer\n"
    listed = json.loads(rtes(config, "access", "list", "--json").stdout)
    assert {"identity": "uid:7", "roles": ["viewer"]} in listed
    assert rtes(config, "access", "revoke", "uid:7", "viewer").exit_code == 0
    assert "does not hold" in rtes(config, "access", "revoke", "uid:7", "viewer").stderr
    assert "write uid:1000" in rtes(config, "access", "grant", "root", "viewer").stderr
    assert "last to hold key-admin" in rtes(config, "access", "revoke", ME, "key-admin").stderr
    shown = rtes(config, "audit", "tail").stdout
    assert "access grant" in shown
    assert rtes(config, "audit", "verify").stdout.startswith("2 records, whole; head ")
    exported = [json.loads(line) for line in rtes(config, "audit", "export").stdout.splitlines()]
    assert [r["action"] for r in exported] == ["access grant", "access revoke", "audit export"]


def test_an_access_file_by_hand(config: Config) -> None:
    desk = Desk(config, OPERATIONS)
    for text, says in (("{", "not an access file"), ('{"grants": {"uid:0": ["king"]}}', "king")):
        desk.paths.access_file.write_text(text)
        desk.paths.access_file.chmod(0o600)
        with pytest.raises(AccessError, match=says):
            _ = desk.access
