"""The checks that services and health register turn at the limits they promise, and one that hangs
or raises holds up nobody."""

import signal
import threading
import time
from typing import Any

import pytest
from rtes.common import feed
from rtes.common.checks import LAG_COMMANDS_MAX, Check, HealthStatus, Result, healthy_if
from rtes.common.clock import Clock
from rtes.common.loop import Core, Loop, Rest, Vitals
from rtes.common.records import decode
from rtes.common.refdata import Account, Instrument
from rtes.common.refusals import Code
from rtes.services.archive.core import FEED as ARCHIVE_FEED
from rtes.services.archive.core import ArchiveCore
from rtes.services.gateway.limits import READ_ONLY, STANDS_STILL, Full
from rtes.services.gateway.vitals import Condition, Counts
from rtes.services.health.shell import CheckRunner
from rtes.services.matcher.core import MatcherCore
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.orders import Participant
from rtes.services.risk import core as risk
from rtes.services.risk.rules import Risk

H, D, U = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.UNHEALTHY
S = 1_000_000_000


def result(core: Core, name: str) -> Result:
    (check,) = (c for c in core.health_checks() if c.name == name)
    return check.function()


@pytest.mark.parametrize(("orders", "status"), [(1_000_000, H), (1_000_001, D)])
def test_a_book_of_more_than_a_million_orders_is_degraded(orders: int, status: str) -> None:
    core: Any = MatcherCore(0, 1, Engine(0, [Instrument(symbol="AAPL", reference_price=1_000)]))
    one: Any = Participant(1)
    core._engine.participants[1] = one
    one.orders = dict.fromkeys(range(orders))
    found = result(core, "order_book")
    assert (found.status, f"{orders} open orders" in found.detail) == (status, True)


def test_a_matcher_that_cannot_write_is_unhealthy() -> None:
    core = MatcherCore(0, 1, Engine(0, [Instrument(symbol="AAPL", reference_price=1_000)]))
    assert result(core, "journal").status is H
    core.set_read_only(True)
    assert result(core, "journal").status is U


@pytest.mark.parametrize(("lag", "status"), [(LAG_COMMANDS_MAX, H), (LAG_COMMANDS_MAX + 1, D)])
def test_followers_that_lag_are_degraded(lag: int, status: str) -> None:
    archive = ArchiveCore(0, lambda _: iter(()))
    assert result(archive, "journal").status is U  # nothing heard of the matcher
    archive.receive(ARCHIVE_FEED, [feed.status_frame(0, 1, lag, [])], 0, 0)
    rules = Risk([Instrument(symbol="AAPL", reference_price=1_000)], [Account(id=1, name="A")])
    follower = risk.RiskCore(0, 7, rules, [0])
    follower.receive(risk.FEED, [feed.status_frame(0, 1, lag, [])], 0, 0)
    for core, name in ((archive, "journal"), (follower, "feed")):
        found = result(core, name)
        assert (found.status, found.detail) == (status, f"{lag} commands behind")


@pytest.mark.parametrize(("share", "status"), [(0.9, H), (0.91, D)])
def test_a_gateway_whose_lanes_are_nearly_full_is_degraded(share: float, status: str) -> None:
    condition = Condition(True, 1, 1, True, {}, share)
    assert condition.results()["queue_depth"].status is status
    assert condition.ready


class Idle:
    """A core that does nothing, on a clock that the test moves."""

    def __init__(self) -> None:
        self.outbox: list[Any] = []
        self.now_ns = S
        self.reports: list[dict[str, Any]] = []

    def receive(self, *_: Any) -> Any:
        return []

    def flush(self, _now_ns: int, _wall_ns: int) -> None:
        pass

    def tick(self, _now_ns: int) -> None:
        pass

    def vitals(self) -> Vitals:
        return Vitals(ready=True)

    def health_checks(self) -> list[Check]:
        return []

    def wait(self, _timeout_ms: int) -> list[int]:
        return []

    def send(self, _channel: int, _routing_id: bytes | None, frame: bytes) -> bool:
        self.reports.append(decode(frame))
        return True

    def wall_ns(self) -> int:
        return self.now_ns

    monotonic_ns = wall_ns


def test_a_loop_that_takes_long_for_a_round_says_so() -> None:
    idle = Idle()
    loop = Loop(idle, idle, idle, "idle")
    rounds_ms = [50] * 30 + [1_500] * 3
    for round_ms in rounds_ms:
        idle.now_ns += round_ms * 1_000_000
        loop.step(0)
    first, last = (report["checks"]["loop"] for report in (idle.reports[0], idle.reports[-1]))
    assert first["status"] == H
    assert (last["status"], last["detail"]) == (D, "longest round 1500 ms")


class Patient(Idle):
    """Notes how long its loop would wait, and ends it after so many rounds."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.waited: list[int] = []

    def wait(self, timeout_ms: int) -> list[int]:
        self.waited.append(timeout_ms)
        self._loop.stopping = len(self.waited) == self.rounds
        return []

    def run(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
        """Whether it waits for a frame, round by round."""
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        self._loop = loop
        loop.run()
        return [ms > 0 for ms in self.waited]


def test_a_follower_with_more_to_do_waits_for_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    patient, rests = Patient(4), iter((True, True, False, False))
    loop = Loop(patient, patient, patient, "idle", rest=lambda: Rest(0.0, more=next(rests)))
    assert patient.run(loop, monkeypatch) == [True, False, False, True]


def test_a_loop_that_spins_waits_for_no_frame_and_another_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for spins in (True, False):
        patient = Patient(3)
        loop = Loop(patient, patient, patient, "idle", spins=spins)
        assert patient.run(loop, monkeypatch) == [not spins] * 3


def test_a_check_that_hangs_or_raises_holds_up_no_other_and_no_poll() -> None:
    """With the threads that health has."""
    let_go = threading.Event()
    runner = CheckRunner(Clock())

    def hangs() -> Result:
        let_go.wait(30)
        return healthy_if(True)

    def raises() -> Result:
        raise ValueError("broken")

    functions = {"hangs": hangs, "raises": raises, "well": lambda: healthy_if(True)}
    for name, function in functions.items():
        runner.manager.register_check(Check(name, function, interval_s=0.05, timeout_s=0.2))
    slowest_s = 0.0
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        began = time.monotonic()
        runner.step()
        found = runner.readings()
        slowest_s = max(slowest_s, time.monotonic() - began)
        time.sleep(0.01)
    let_go.set()
    assert {name: r.status for name, r in found.items()} == {"hangs": U, "raises": U, "well": H}
    assert found["raises"].detail == "ValueError: broken"
    assert found["hangs"].detail.startswith("no answer for ")
    assert found["well"].passed > 5  # of about 20
    assert found["hangs"].failed == 1  # it was not started a second time
    assert slowest_s < 0.5


def test_a_gateway_counts_what_is_too_much_apart_from_what_stands_still() -> None:
    counts = Counts()
    for full in (STANDS_STILL, READ_ONLY, Full(Code.BUSY, 16, 16, 10)):
        counts.refused(full)
    told = counts.counters()
    assert (told["rtes_orders_total.failed"], told["rtes_orders_total.busy"]) == (1, 2)
