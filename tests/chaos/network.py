"""A bad network between two hosts, in user space: packets of two TUN devices pass through here and
are delayed, lost, doubled, overtaken or all held back. One device is this host's, the other one's
namespace has no other network. Unlike netem it needs no module of the kernel, only root.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x1001
_PACKET_BYTES_MAX: Final = 65_536


@dataclass
class Weather:
    """What happens to packets, in both directions."""

    loss: float = 0.0
    double: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0  # either way; with it, packets overtake each other
    cut: bool = False


class Wire:
    """Use as a context manager. The host has the address `near`, the namespace `far`."""

    def __init__(self, seed: int) -> None:
        number = os.getpid() % 250 + 1
        self.near, self.far = f"10.213.{number}.1", f"10.213.{number}.2"
        self.namespace = f"rtes{number}"
        self.weather = Weather()
        self.packets = 0
        self.dropped = 0
        self._random = random.Random(seed)
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._ends: dict[int, int] = {}

    def __enter__(self) -> "Wire":
        near_name, far_name = f"{self.namespace}a", f"{self.namespace}b"
        ip("netns", "add", self.namespace)
        try:
            near, far = tun(near_name), tun(far_name)
            self._ends = {near: far, far: near}
            ip("link", "set", far_name, "netns", self.namespace)
            inside = ("-n", self.namespace)
            ip("addr", "add", self.near, "peer", self.far, "dev", near_name)
            ip(*inside, "addr", "add", self.far, "peer", self.near, "dev", far_name)
            ip("link", "set", near_name, "up")
            ip(*inside, "link", "set", far_name, "up")
        except BaseException:
            self._remove()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._remove()

    def _remove(self) -> None:
        for fd in self._ends:
            os.close(fd)
        ip("netns", "del", self.namespace)

    def command(self, *words: str) -> list[str]:
        """A command line that runs on the far side."""
        return ["ip", "netns", "exec", self.namespace, *words]

    def _carry(self) -> None:
        waiting, ends = self._waiting, select.poll()
        for fd in self._ends:
            ends.register(fd, select.POLLIN)
        while not self._stopping.is_set():
            wait_s = min(0.1, max(0.0, waiting[0][0] - time.monotonic())) if waiting else 0.1
            for fd, _ in ends.poll(wait_s * 1_000):
                self._take(self._ends[fd], os.read(fd, _PACKET_BYTES_MAX))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(waiting)
                os.write(to, packet)

    def _take(self, to: int, packet: bytes) -> None:
        weather, chance = self.weather, self._random
        self.packets += 1
        if weather.cut or chance.random() < weather.loss:
            self.dropped += 1
            return
        for _ in range(1 + (chance.random() < weather.double)):
            delay_s = weather.delay_s + chance.uniform(-1, 1) * weather.jitter_s
            due = time.monotonic() + delay_s
            heapq.heappush(self._waiting, (due, self.packets, to, packet))


def tun(name: str) -> int:
    """A new TUN device; it goes when the descriptor is closed. Raises OSError."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
    except OSError:
        os.close(fd)
        raise
    return fd


def ip(*words: str) -> None:
    """Run iproute2. Raises OSError, CalledProcessError."""
    subprocess.run(["ip", *words], check=True, capture_output=True)
