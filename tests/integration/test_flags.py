"""Feature flags on a real exchange: set while it runs, held over restarts, written down."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from rtes.client.cli import cli
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.messages import BATCH_MESSAGES_MAX
from rtes.common.refusals import Code
from rtes.control.audit import AuditLog

from tests.hostile.peers import Peer, order
from tests.meshes import stopped, wait_for

pytestmark = pytest.mark.mesh
CREDIT = 10_000
HALF = 8_192  # of the lane's window
SOON_S = 10.0


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with Mesh(tmp_path_factory.mktemp("mesh"), session={"credit": CREDIT}) as running:
        yield running


@pytest.fixture(autouse=True)
def _cleared(mesh: Mesh) -> Iterator[None]:
    yield
    mesh.paths.flags_file.unlink(missing_ok=True)


def flags(mesh: Mesh, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["flags", *arguments, "--profile", str(mesh.config_file)])


def set_flag(mesh: Mesh, *arguments: str) -> None:
    """And wait until the gateway has it."""
    told = mesh.log("gateway").count("fair_credit")
    done = flags(mesh, "set", "fair_credit", *arguments, "--reason", "a test")
    assert done.exit_code == 0, done.output
    wait_for(lambda: mesh.log("gateway").count("fair_credit") > told, SOON_S)


def refusals(peer: Peer, after_id: int, count: int) -> list[tuple[int, int]]:
    """Send so many orders; code and limit of each that the gateway itself refuses."""
    for i in range(0, count, BATCH_MESSAGES_MAX):
        n = min(BATCH_MESSAGES_MAX, count - i)
        peer.send([order(after_id + 1 + i + j) for j in range(n)])
    peer.send(m.TestRequest("all of them"))
    told = peer.until(m.Heartbeat)[:-1]
    return [(t.reject_code, t.limit) for t in told if isinstance(t, m.BusinessMessageReject)]


def test_fair_credit_holds_for_whom_it_is_on(mesh: Mesh) -> None:
    """Risk stands still while one session fills half of the lane; of two that come after it,
    only the one with the flag holds back. Once it is killed, that one does not, either."""
    set_flag(mesh, "--allow", "BOT02")
    busy = (int(Code.BUSY), CREDIT // 4)
    with Peer(mesh, "BOT01") as first, Peer(mesh, "BOT02") as fair, Peer(mesh, "BOT03") as other:
        ids = [peer.last_id() for peer in (first, fair, other)]
        with stopped(mesh, "risk"):
            assert refusals(first, ids[0], HALF) == []
            assert refusals(fair, ids[1], CREDIT // 4 + 3) == [busy] * 3
            assert busy not in refusals(other, ids[2], CREDIT // 4 + 3)
            set_flag(mesh, "--off")
            fair.send(m.TestRequest("it is killed"))
            fair.until(m.Heartbeat)
            assert busy not in refusals(fair, ids[1] + CREDIT // 4 + 3, 1)
        for peer in (first, fair, other):
            peer.until(m.ExecutionReport)


def test_what_is_set_outlives_a_restart_and_is_written_down(mesh: Mesh) -> None:
    set_flag(mesh, "--percent", "20")
    assert json.loads(flags(mesh, "explain", "fair_credit", "DEMO1", "--json").stdout) == {
        "flag": "fair_credit", "unit": "DEMO1", "on": False, "reason": "percentage",
        "bucket_percent": 21.204, "percent": 20.0,
    }  # fmt: skip
    set_flag(mesh, "--percent", "22")
    told = flags(mesh, "explain", "fair_credit", "DEMO1").stdout
    assert told == "fair_credit is on for DEMO1: percentage (DEMO1 is at 21.204 % of 22 %)\n"
    mesh.restart("gateway")
    mesh.wait_ready()
    for account in ("DEMO1", "DEMO2"):
        with Peer(mesh, account) as peer:
            peer.last_id()

    def counted(variant: str) -> float:
        mesh.hear(100)
        counters: dict[str, float] = mesh.vitals["gateway"]["counters"]
        return counters.get(f"rtes_flag_evaluations_total.fair_credit.{variant}", 0)

    wait_for(lambda: counted("on") == 1 and counted("off") == 1, SOON_S)
    last = list(AuditLog(mesh.paths).records())[-1]
    assert (last["action"], last["object"]) == ("flags set", "flag fair_credit")
    assert (last["old"], last["new"]) == ({"percent": 20.0}, {"percent": 22.0})
    assert last["reason"] == "a test"


def test_clear_gives_the_flag_back_to_the_configuration_and_that_can_be_reloaded(
    mesh: Mesh,
) -> None:
    def row() -> dict[str, str]:
        rows = json.loads(flags(mesh, "list", "--json").stdout)
        found: dict[str, str] = next(r for r in rows if r["flag"] == "fair_credit")
        return found

    assert (row()["on_for"], row()["set_by"]) == ("nobody", "")
    tree = json.loads(mesh.config_file.read_text())
    tree["feature_flags"] = {"rollout_percentages": {"fair_credit": 5}}
    mesh.config_file.write_text(json.dumps(tree))
    told = mesh.log("gateway").count("fair_credit")
    done = CliRunner().invoke(cli, ["config", "reload", "--profile", str(mesh.config_file)])
    assert done.output == (
        "reloaded feature_flags.rollout_percentages ({} to {'fair_credit': 5.0})\n"
    )
    wait_for(lambda: mesh.log("gateway").count("fair_credit") > told, SOON_S)
    assert (row()["on_for"], row()["set_by"]) == ("5 %", "configuration")
    set_flag(mesh, "--percent", "7", "--deny", "MM1")
    assert (row()["on_for"], row()["set_by"]) == ("7 % but MM1", "operator")
    set_flag(mesh, "--clear")
    assert row()["on_for"] == "5 %"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fair_credits", "--on", "--reason", "x"), "did you mean fair_credit?"),
        (("fair_credit", "--on"), "--reason"),
        (("fair_credit", "--on", "--percent", "3", "--reason", "x"), "say one of"),
        (("fair_credit", "--percent", "101", "--reason", "x"), "0<=x<=100"),
        (("new_matching_engine", "--on", "--reason", "x"), "there is no flag"),
    ],
)
def test_what_makes_no_sense_is_refused(mesh: Mesh, arguments: tuple[str, ...], said: str) -> None:
    done = flags(mesh, "set", *arguments)
    assert done.exit_code != 0
    assert said in done.output
    assert not mesh.paths.flags_file.exists()


def test_who_may_not_is_refused(mesh: Mesh) -> None:
    access = mesh.paths.access_file
    access.write_text(json.dumps({"grants": {"uid:4242": ["key-admin"]}}))
    access.chmod(0o600)
    try:
        done = flags(mesh, "set", "fair_credit", "--on", "--reason", "x")
        assert "lacks the permission config:write" in done.output
    finally:
        access.unlink()


def test_a_file_that_cannot_be_read_changes_nothing(mesh: Mesh) -> None:
    set_flag(mesh, "--percent", "50")
    mesh.paths.flags_file.write_text("{")
    wait_for(lambda: "flags not applied" in mesh.log("gateway"), SOON_S)
    assert "remove it" in flags(mesh, "list").output
    assert mesh.processes["gateway"].poll() is None
