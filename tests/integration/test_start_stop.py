"""The two commands in a fresh checkout: start, run side by side, refuse clearly, stop, leave
nothing behind. Real processes; the first start makes the environment, as a newcomer's does.
"""

import json
import shutil
import signal
import socket
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import zmq

from tests.checkouts import PORTS, Checkout, copy_of_the_checkout, wait_until

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    fresh = copy_of_the_checkout(tmp_path_factory.mktemp("one"))
    yield fresh
    fresh.run("stop.sh")


@pytest.fixture
def started(checkout: Checkout) -> Iterator[Checkout]:
    told = checkout.run("start.sh", "--no-bots")
    assert told.returncode == 0, told.stdout + told.stderr
    yield checkout
    checkout.run("stop.sh")


def test_start_says_what_to_do_next_and_stop_leaves_nothing(checkout: Checkout) -> None:
    told = checkout.run("start.sh")
    assert told.returncode == 0, told.stdout + told.stderr
    for hint in ("order buy AAPL", "book AAPL", f":{8080 + checkout.offset}/", "scripts/stop.sh"):
        assert hint in told.stdout
    assert json.loads(checkout.get("/health")[1])["status"] == "healthy"
    assert any("bots" in " ".join(p.cmdline()) for p in checkout.processes())
    assert checkout.run("stop.sh").stdout == "RTES is stopped.\n"
    checkout.nothing_is_left()
    assert checkout.run("stop.sh").stdout == "RTES is not running.\n"


def test_started_twice_it_says_that_it_runs(started: Checkout) -> None:
    before = {p.pid for p in started.processes()}
    told = started.run("start.sh")
    assert told.returncode == 0
    assert told.stdout.startswith("RTES is running")
    assert {p.pid for p in started.processes()} == before


def test_another_profile_is_not_started_over_it(started: Checkout) -> None:
    told = started.run("start.sh", "--profile", "staging")
    assert told.returncode == 1
    assert "profile dev is running" in told.stderr


def test_a_port_that_is_taken_is_named(checkout: Checkout) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 9999 + checkout.offset))
        other.listen()
        told = checkout.run("start.sh")
    assert told.returncode == 1
    assert f"port {9999 + checkout.offset} (market data) is taken" in told.stderr
    assert "RTES__EXCHANGE__PORT_OFFSET=" in told.stderr
    assert checkout.processes() == []


def test_a_setting_that_cannot_be_used_is_named_before_anything_starts(checkout: Checkout) -> None:
    environ = {**checkout.environ, "RTES__CORES__MATCHER": "[4095]"}
    told = subprocess.run(
        [checkout.home / "scripts" / "start.sh"],
        env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 1
    assert "cores.matcher = [4095]: core 4095 does not exist here" in told.stderr
    checkout.nothing_is_left()


def test_a_service_that_does_not_come_up_is_named_with_its_log(checkout: Checkout) -> None:
    accounts = checkout.home / "var" / "dev" / "accounts.json"
    good = accounts.read_text()
    accounts.write_text(good.replace('"id": 1,', '"id": 2,'))
    try:
        told = checkout.run("start.sh")
    finally:
        accounts.write_text(good)
    assert told.returncode == 1
    assert "an account id is used twice" in told.stderr
    checkout.nothing_is_left()


def test_every_profile_starts(checkout: Checkout) -> None:
    for profile in ("staging", "prod"):
        told = checkout.run("start.sh", "--profile", profile)
        assert told.returncode == 0, told.stdout + told.stderr
        assert json.loads(checkout.get("/version", profile)[1])["environment"] == profile
        checkout.run("stop.sh")


def listening(processes: list[psutil.Process]) -> tuple[set[tuple[str, int]], set[str]]:
    """(addresses of IP sockets that listen, paths of unix sockets) of these processes."""
    found, files = set(), set()
    for process in processes:
        for c in process.net_connections("inet"):
            if c.status in (psutil.CONN_LISTEN, psutil.CONN_NONE):
                found.add((c.laddr.ip, c.laddr.port))
        files |= {c.laddr for c in process.net_connections("unix") if c.laddr}
    return found, files


def gets_in(endpoint: str, kind: int, keys: dict[str, str] | None) -> bool:
    """Whether a ZeroMQ client with these keys, or with none, completes the handshake."""
    with zmq.Context() as context, context.socket(kind) as client:
        client.linger = 0
        if keys is not None:
            client.curve_publickey, client.curve_secretkey, client.curve_serverkey = (
                keys[name].encode() for name in ("public_key", "secret_key", "server_key")
            )
        monitor = client.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        client.connect(endpoint)
        through = bool(monitor.poll(1_000))
        client.disable_monitor()
        monitor.close(0)
        return through


def test_prod_listens_where_it_says_and_lets_nobody_in_without_a_key(checkout: Checkout) -> None:
    told = checkout.run("start.sh", "--profile", "prod")
    assert told.returncode == 0, told.stdout + told.stderr
    try:
        ports = {what: port + checkout.offset for what, port in PORTS.items()}
        addresses, files = listening(checkout.processes())
        assert addresses == {("127.0.0.1", port) for port in ports.values()}
        for file in map(Path, files):
            closed = stat.S_IMODE(file.parent.stat().st_mode) == 0o700
            by_peer = file.parent.name.endswith("-control")  # asks the kernel who connects
            by_mode = file.name.startswith("supervisord.sock")  # see below
            assert closed or by_peer or by_mode, file
        assert stat.S_IMODE((checkout.home / "var" / "supervisord.sock").stat().st_mode) == 0o700
        known = json.loads((checkout.home / "var/prod/keys/OPS.json").read_text())
        public, secret = (key.decode() for key in zmq.curve_keypair())
        stranger = {**known, "public_key": public, "secret_key": secret}
        for what, kind in (("orders", zmq.DEALER), ("market data", zmq.SUB),
                           ("market data snapshots", zmq.DEALER)):  # fmt: skip
            endpoint = f"tcp://127.0.0.1:{ports[what]}"
            assert gets_in(endpoint, kind, known), what
            assert not gets_in(endpoint, kind, stranger), what
            assert not gets_in(endpoint, kind, None), what
        assert checkout.get("/live") == (0, "")  # plain HTTP
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(f"https://127.0.0.1:{ports['http']}/live", timeout=5)
        assert checkout.get("/live", "prod")[0] == 200
    finally:
        checkout.run("stop.sh")


@pytest.mark.parametrize("directory", ["scripts", "tools"])
def test_the_guides_encryption(checkout: Checkout, tmp_path: Path, directory: str) -> None:
    """export RTES_ENCRYPTION_KEY_prod_key_2024=$(openssl rand -hex 32) and encrypt_config.sh."""
    file = tmp_path / "custom_config.json"
    security = {"tls": True, "tls_key_passphrase": "hunter2"}
    tree = {"environment": "prod", "mesh": {"run_dir": str(tmp_path)}, "security": security}
    file.write_text(json.dumps(tree))
    script = f"{checkout.home}/{directory}/encrypt_config.sh {file}"
    key = "export RTES_ENCRYPTION_KEY_prod_key_2024=$(openssl rand -hex 32)"
    told = subprocess.run(
        ["bash", "-c", f"{key}; {script} && {checkout.home}/.venv/bin/rtes config decrypt {file}"],
        env=checkout.environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.splitlines() == [
        "encrypted security.tls_key_passphrase", 'security.tls_key_passphrase = "hunter2"'
    ]  # fmt: skip
    assert "hunter2" not in file.read_text()


def test_two_checkouts_run_side_by_side(
    started: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = copy_of_the_checkout(tmp_path_factory.mktemp("two"))
    told = other.run("start.sh", "--no-bots")
    try:
        assert told.returncode == 0, told.stdout + told.stderr
        assert started.get("/ready")[0] == other.get("/ready")[0] == 200
    finally:
        other.run("stop.sh")
    other.nothing_is_left()
    assert started.get("/ready")[0] == 200


def test_nothing_outlives_a_killed_supervisord(started: Checkout) -> None:
    supervisord = [p for p in started.processes() if "supervisor" in " ".join(p.cmdline())]
    assert len(supervisord) == 1
    supervisord[0].kill()
    wait_until("all services are gone", lambda: started.processes() == [], 5)
    assert started.run("start.sh", "--no-bots").returncode == 0
    assert started.get("/ready")[0] == 200


def test_a_killed_service_comes_back(started: Checkout) -> None:
    for service in ("risk", "gateway", "matcher", "marketdata", "archive", "health"):
        name = f"rtes.services.{service}"
        (process,) = [p for p in started.processes() if name in p.cmdline()]
        process.kill()
        wait_until(
            f"{service} is a new process and all is well",
            lambda pid=process.pid: (
                started.get("/startup")[0] == 200
                and f'"pid": {pid}' not in (answer := started.get("/health")[1])
                and '"healthy"' in answer.split("services")[0]
            ),
        )


def test_the_emergency_stop_snapshots_stops_all_and_holds_over_the_next_start(
    started: Checkout,
) -> None:
    def rtes(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [started.home / ".venv" / "bin" / "rtes", *words],
            cwd=started.home, env=started.environ, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    bought = rtes("order", "buy", "AAPL", "3", "570")
    assert bought.returncode == 0, bought.stderr
    stopped = rtes("emergency", "stop", "--reason", "a fire in the room")
    assert stopped.returncode == 0, stopped.stderr
    assert stopped.stderr == ""
    started.nothing_is_left()
    assert list((started.home / "var" / "dev" / "snapshots" / "0").iterdir())
    assert started.run("start.sh", "--no-bots").returncode == 0
    (resting,) = json.loads(rtes("orders", "--json").stdout)
    assert resting["symbol"] == "AAPL"
    assert "INSTRUMENT_HALTED" in rtes("order", "buy", "AAPL", "3", "570").stderr
    assert rtes("cancel", "--all").returncode == 0
    assert rtes("emergency", "resume", "--reason", "it is out").returncode == 0
    assert rtes("order", "buy", "AAPL", "3", "570", "--tif", "ioc").returncode == 0
    told = rtes("audit", "tail").stdout
    for word in ("emergency stop", "a fire in the room", "emergency resume", "it is out"):
        assert word in told


def test_supervisord_works_by_itself(checkout: Checkout) -> None:
    supervisord = checkout.home / ".venv" / "bin" / "supervisord"
    shutil.rmtree(checkout.home / "var" / "dev")  # keys too
    with subprocess.Popen(
        [supervisord, "-n", "-c", "supervisord.conf"],
        cwd=checkout.home, env=checkout.environ, stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        wait_until("it is ready", lambda: checkout.get("/startup")[0] == 200, 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert checkout.processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_stops_it(checkout: Checkout, number: int) -> None:
    with foreground(checkout) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("RTES is ready")
        process.send_signal(number)
        assert process.wait(60) == 0
        assert process.stdout.read().endswith("RTES is stopped.\n")
    checkout.nothing_is_left()


def test_a_start_that_is_interrupted_leaves_nothing(checkout: Checkout) -> None:
    with foreground(checkout) as process:
        wait_until("services run", lambda: len(checkout.processes()) > 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    checkout.nothing_is_left()


def foreground(checkout: Checkout) -> "subprocess.Popen[str]":
    """As from a terminal: what runs behind a shell's `&` would ignore SIGINT."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", checkout.home / "scripts" / "start.sh", "--foreground"],
        env=checkout.environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_an_old_python_is_refused_clearly(tmp_path: Path) -> None:
    checkout = copy_of_the_checkout(tmp_path / "new")
    old = tmp_path / "of another day" / "python3"
    old.parent.mkdir()
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 || exit 1\n')
    old.chmod(0o755)
    told = checkout.run("start.sh", PYTHON=str(old))
    checkout.run("stop.sh")  # should it have started all the same
    assert told.returncode == 1
    assert "needs Python 3.11 or newer; found Python 3.9.2" in told.stderr


def test_a_mesh_of_shards_starts_and_stops_like_any_other(checkout: Checkout) -> None:
    mesh = {f"RTES__MESH__{name}": "2" for name in ("GATEWAYS", "RISK_SHARDS", "MATCHER_SHARDS")}
    mesh["RTES__MESH__RUN_DIR"] = str(checkout.home / "var" / "two")
    told = checkout.run("start.sh", "--no-bots", **mesh)
    assert told.returncode == 0, told.stdout + told.stderr
    services = json.loads(checkout.get("/health")[1])["services"]
    several = ("gateway", "risk", "matcher", "archive", "marketdata", "snapshotter")
    expected = [(service, number) for service in several for number in (0, 1)]
    assert [(s["service"], s["shard"]) for s in services] == [*expected, ("health", 0)]
    assert checkout.get("/startup")[0] == 200
    for port in (8889, 10_001, 10_002):  # of gateway 1, and of matcher shard 1's market data
        with socket.create_connection(("127.0.0.1", port + checkout.offset), 5):
            pass
    told = checkout.run("start.sh", "--no-bots", **mesh)
    assert told.stdout.startswith("RTES is running")
    assert checkout.run("stop.sh").stdout == "RTES is stopped.\n"
    checkout.nothing_is_left()
    told = checkout.run("start.sh", "--no-bots", **{**mesh, "RTES__MESH__MATCHER_SHARDS": "1"})
    assert "has traded with mesh.matcher_shards 2, and it is 1 now" in told.stderr
    assert told.returncode == 1
    checkout.nothing_is_left()


def test_a_name_that_is_nearly_a_setting_is_told(checkout: Checkout) -> None:
    """It counts for nothing, so whoever gave it must hear of it."""
    told = checkout.run("start.sh", RTES_MESH__GATEWAYS="2", RTES__MESH__MATCHER_SHARDS="9")
    assert "RTES_MESH__GATEWAYS names no setting" in told.stderr
    assert "no instrument is on matcher shard 5" in told.stderr
    assert told.returncode == 1
