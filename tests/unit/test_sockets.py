"""Sockets of services where nobody reads."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rtes.common.loop import HEALTH_CHANNEL
from rtes.common.service import REPORTS_MAX, Boot


def test_reports_to_a_health_that_is_not_there_do_not_pile_up(tmp_path: Path) -> None:
    nobody = (f"ipc://{tmp_path}/nobody", None)
    boot: Any = SimpleNamespace(wiring=SimpleNamespace(reached=lambda *_: nobody))
    sockets = Boot.sockets(boot)
    taken = [sockets.send(HEALTH_CHANNEL, None, b"report") for _ in range(3 * REPORTS_MAX)]
    assert taken == [True] * REPORTS_MAX + [False] * 2 * REPORTS_MAX
    sockets.close()
