"""Sockets of services where nobody reads."""

from pathlib import Path

from rtes.common.service import REPORTS_MAX
from rtes.common.sockets import Sockets


def test_reports_to_a_health_that_is_not_there_do_not_pile_up(tmp_path: Path) -> None:
    sockets = Sockets()
    sockets.push(1, f"ipc://{tmp_path}/nobody", outbound_frames_max=REPORTS_MAX)
    taken = [sockets.send(1, None, b"report") for _ in range(3 * REPORTS_MAX)]
    assert taken == [True] * REPORTS_MAX + [False] * 2 * REPORTS_MAX
    sockets.close()
