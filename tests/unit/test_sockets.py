"""Sockets of services: where nobody reads, and whom nobody hears any more."""

import random
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from rtes.client import testing
from rtes.common.connections import CUT_OFF, HANG_UP
from rtes.common.loop import HEALTH_CHANNEL
from rtes.common.service import REPORTS_MAX, Boot
from rtes.common.sockets import Sockets


def test_reports_to_a_health_that_is_not_there_do_not_pile_up(tmp_path: Path) -> None:
    nobody = (f"ipc://{tmp_path}/nobody", None)
    boot: Any = SimpleNamespace(wiring=SimpleNamespace(reached=lambda *_: nobody))
    sockets = Boot.sockets(boot)
    taken = [sockets.send(HEALTH_CHANNEL, None, b"report") for _ in range(3 * REPORTS_MAX)]
    assert taken == [True] * REPORTS_MAX + [False] * 2 * REPORTS_MAX
    sockets.close()


def test_no_frame_is_left_waiting(tmp_path: Path) -> None:
    """The kernel tells of news once, and whatever is done with a socket may take it in."""
    count, roll = 20_000, random.Random(1)
    here, there = Sockets(), Sockets()
    here.router(1, f"ipc://{tmp_path}/router")
    here.pull(2, f"ipc://{tmp_path}/pull")
    there.dealer(1, f"ipc://{tmp_path}/router")
    there.push(2, f"ipc://{tmp_path}/pull")

    def talk() -> None:
        for n in range(count):
            there.send(1 + n % 2, None, b"%d" % n)
            if roll.random() < 0.1:
                time.sleep(roll.random() / 2_000)

    talking = threading.Thread(target=talk)
    talking.start()
    heard = 0
    while heard < count:
        channels = here.wait(5_000)
        assert channels, f"{heard} of {count} heard, nothing told of the others"
        for channel in channels:
            for frame in here.receive(channel):
                heard += 1
                if channel == 1:
                    assert here.send(1, frame[0], b"heard")
    talking.join()
    for sockets in (here, there):
        sockets.close()


@pytest.mark.parametrize("kind", ["router", "pull"])
def test_a_batch_ends_with_the_frame_that_makes_it_large(tmp_path: Path, kind: str) -> None:
    """What is left of it is there at once the next time, without any news."""
    address = f"ipc://{tmp_path}/socket"
    here, there = Sockets(batch_bytes_max=1_000), Sockets()
    getattr(here, kind)(1, address)
    (there.dealer if kind == "router" else there.push)(1, address)
    for _ in range(20):
        there.send(1, None, bytes(300))
    time.sleep(0.2)  # until all of it waits
    sizes: list[int] = []
    while sum(sizes) < 20:
        assert here.wait(5_000) == [1]
        sizes.append(len(here.receive(1)))
    assert max(sizes) == 4
    for sockets in (here, there):
        sockets.close()


@pytest.mark.parametrize(("end", "closed"), [(HANG_UP, 0), (CUT_OFF, 1)])
def test_a_connection_that_is_being_ended_is_not_listened_to(end: bytes, closed: int) -> None:
    """What is cut off is closed at once, else what was sent to it has time to leave."""
    port = testing.free_port()
    sockets, context = Sockets(), zmq.Context()
    sockets.router(1, f"tcp://127.0.0.1:{port}")
    with context.socket(zmq.DEALER) as peer:
        peer.setsockopt(zmq.LINGER, 0)
        peer.connect(f"tcp://127.0.0.1:{port}")
        for _ in range(3):
            peer.send(b"frame")
        frames: list[Any] = []
        while not frames:
            sockets.wait(1_000)
            frames = sockets.receive(1)[:1]
        sockets.send(1, frames[0][0], end)
        assert sockets._connections[1].closed == closed
        time.sleep(0.1)  # what it had sent is read after its end is known
        for _ in range(3):
            peer.send(b"frame")
            sockets.wait(10)
            frames += sockets.receive(1)
    ids = [routing_id for routing_id, _, _ in frames]
    assert ids.count(ids[0]) == 1
    sockets.close()
    context.term()
    testing.release_offset(port - 10_000)
