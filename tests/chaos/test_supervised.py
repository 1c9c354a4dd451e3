"""What supervisord and the watchdog do about services that hang, die again and again, or lose
supervisord itself, while a participant trades.
"""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest
from rtes.client import Client
from rtes.common.heartbeat import PATIENT_S

from tests.chaos.campaign import EVERYTHING
from tests.chaos.checker import Findings, check_diary, check_order
from tests.chaos.supervised import Supervised, wait_until
from tests.chaos.trader import Trader
from tests.meshes import audit, told

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(600)]
HANGS = (*EVERYTHING, "health", "control")
EDITED = 99_999  # risk.open_orders_max
QUICK_KILLS = 4  # supervisord's own default gives up at the third restart


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    with Supervised(tmp_path_factory.mktemp("sv")) as running:
        yield running


@pytest.fixture(scope="module")
def trader(exchange: Supervised) -> Iterator[Trader]:
    trading = Trader.of(exchange, "DEMO1", 1)
    trading.start()
    yield trading
    trading.abandon()


def age(exchange: Supervised, service: str, seconds: float) -> None:
    """As if so much time had passed since a stopped service's last beat."""
    path = next(exchange.paths.beats_dir.glob(f"{service}*"))
    pid, started, at_ns, counts_ns = path.read_text().split()
    path.write_text(f"{pid} {started} {int(at_ns) - int(seconds * 1e9):020d} {counts_ns}\n")


def is_another(exchange: Supervised, name: str, pid: int) -> bool:
    return exchange.program(name).pid not in (0, pid)


def test_what_hangs_is_killed_and_comes_back(exchange: Supervised, trader: Trader) -> None:
    """All at once: each is stopped, not dead, and nothing but the watchdog would end it."""
    pids = {name: exchange.signal(name, signal.SIGSTOP) for name in HANGS}
    for name in ("marketdata", "snapshotter", "control"):  # their beats count for a minute
        age(exchange, name, PATIENT_S)
    for name, pid in pids.items():
        wait_until(f"{name} is another process", partial(is_another, exchange, name, pid))
    exchange.wait_ready()
    said = (exchange.home / "var" / "log" / "watchdog.log").read_text()
    for name, pid in pids.items():
        assert re.search(f"no longer beats .*pid={pid}\\b", said), name
    before = trader.reports
    wait_until("trading goes on", lambda: trader.reports > before + 5)


def test_quick_kills_never_end_in_fatal(exchange: Supervised, trader: Trader) -> None:
    """Every process is killed as soon as it lives, before supervisord counts it as started."""
    killed: dict[str, set[int]] = {name: set() for name in EVERYTHING}
    deadline = time.monotonic() + 120
    while any(len(pids) < QUICK_KILLS for pids in killed.values()):
        assert time.monotonic() < deadline, killed
        for program in exchange.supervisor.programs():
            assert program.state != "FATAL"
            pids = killed.get(program.name)
            if pids is not None and program.pid and len(pids | {program.pid}) <= QUICK_KILLS:
                if program.pid not in pids:
                    os.kill(program.pid, signal.SIGKILL)
                pids.add(program.pid)
        time.sleep(0.02)
    wait_until("all run", lambda: all(exchange.program(n).state == "RUNNING" for n in EVERYTHING))
    exchange.wait_ready()
    before = trader.reports
    wait_until("trading goes on", lambda: trader.reports > before + 5)


def test_a_restarted_program_does_not_take_an_edit_that_nobody_reloaded(
    exchange: Supervised, trader: Trader
) -> None:
    tree = json.loads(exchange.config_file.read_text())
    tree["risk"]["open_orders_max"] = EDITED
    exchange.config_file.write_text(json.dumps(tree))
    pid = exchange.signal("risk", signal.SIGKILL)
    wait_until("risk is another process", lambda: is_another(exchange, "risk", pid))
    exchange.wait_ready()
    assert open_orders_max(exchange) != EDITED
    before = trader.reports
    wait_until("trading goes on", lambda: trader.reports > before + 5)


def open_orders_max(exchange: Supervised) -> int:
    """As risk tells it, and as the file for those says who look for the exchange."""
    with Client.connect("DEMO2", config=exchange.config, timeout_s=20.0) as client:
        told = next(r.open_orders_max for r in client.account_usage() if not r.symbol)
    assert json.loads(exchange.paths.config_file.read_text())["risk"]["open_orders_max"] == told
    return told


def test_nothing_outlives_supervisord_and_nothing_is_lost(
    exchange: Supervised, trader: Trader
) -> None:
    exchange.kill("health")  # supervisord, as Supervised keeps it
    wait_until("all are gone", lambda: exchange.remains() == [], 10)
    exchange.start_supervisor()
    assert open_orders_max(exchange) == EDITED  # a start of the whole takes the file as it is
    before = trader.reports
    wait_until("trading goes on", lambda: trader.reports > before + 5)
    trader.stopping.set()
    trader.join(60)
    journal = told(exchange)["DEMO1"]
    diary = trader.end(len(journal))
    found = Findings()
    check_diary(found, "DEMO1", diary, journal)
    check_order(found, "DEMO1", journal)
    assert found.texts == []
    audit(exchange)
