"""A short run of the fuzzer, in process and over sockets, and that it would find something."""

import pytest
from rtes.common import messages as m
from rtes.common.compiled import compiled
from rtes.services.gateway.limits import GatewayLimits
from rtes.services.gateway.routes import ROUTES

from tests.hostile.fuzz import Fuzz
from tests.hostile.fuzz_mesh import fuzz_mesh
from tests.hostile.mutations import Mutator

FRAMES = 20_000


def test_no_frame_is_unhandled_and_every_state_is_reached() -> None:
    fuzz = Fuzz(seed=1)
    result = fuzz.run(FRAMES, range(FRAMES))
    assert fuzz.unhandled == []
    told = result["told"]
    reached = {"ok", "malformed", "invalid_value", "too_late", "not_logged_on", "banned", "busy",
               "not_authorized", "id_reused"}  # fmt: skip
    assert reached <= set(told), told
    assert result["commands"] > FRAMES / 10


@pytest.mark.mesh
def test_a_real_gateway_outlives_it_and_others_trade() -> None:
    frames = 5_000
    result, found = fuzz_mesh(2, frames, range(frames))
    assert found == []
    assert result["orders_of_others"] == 6
    assert result["answers"] > frames / 20


def test_one_seed_gives_one_sequence_of_frames() -> None:
    one, same, other = Mutator(7), Mutator(7), Mutator(8)
    frames = [one.frame() for _ in range(500)]
    assert frames == [same.frame() for _ in range(500)]
    assert frames != [other.frame() for _ in range(500)]


@pytest.mark.skipif(bool(compiled()), reason="compiled callers do not look methods up")
def test_the_fuzzer_finds_an_answer_that_nobody_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that it did find: the last word before a ban was longer than its field."""
    monkeypatch.setattr("rtes.services.gateway.door.Door.ban", lambda *_: "x" * 65)
    fuzz = Fuzz(seed=1)
    fuzz.run(500, range(500))
    assert "length <= 64" in fuzz.unhandled[0]


def test_the_fuzzer_finds_what_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROUTES, m.NewOrderSingle, "no route")
    fuzz = Fuzz(seed=1)
    fuzz.run(500, range(500))
    assert "gateway/core.py" in fuzz.unhandled[0]


def test_the_fuzzer_finds_a_queue_without_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = GatewayLimits(8, 10**9, 2_000, lane_window=10**9)
    monkeypatch.setattr("tests.hostile.fuzz.FuzzEdge.limits", endless)
    fuzz = Fuzz(seed=1)
    fuzz.run(20_000, range(20_000))
    assert any("a queue grew" in u for u in fuzz.unhandled)
