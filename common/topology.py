"""The cores of this machine, and which of them each service runs on."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from rtes.common.config import Config, ServiceCores
from rtes.common.process import CoreError

PINNED: Final = ("gateway", "risk", "matcher")
OWN_CORES_MIN: Final = 4  # so that clients and followers have one besides the three
BUSY_POLL_CORES_MIN: Final = 6  # as many for sockets' threads, followers and clients as spin
_CPUS: Final = Path("/sys/devices/system/cpu")


class Core(NamedTuple):
    """One that this process may use; siblings are others on the same physical core."""

    number: int
    package: int
    physical: int
    siblings: list[int]


def cores_here(cpus: Path = _CPUS) -> list[Core]:
    """All that this process may use."""
    found = []
    for number in sorted(os.sched_getaffinity(0)):
        place = cpus / f"cpu{number}" / "topology"
        siblings = numbers(_read(place / "thread_siblings_list", str(number)))
        package = int(_read(place / "physical_package_id", "0"))
        physical = int(_read(place / "core_id", str(number)))
        found.append(Core(number, package, physical, [s for s in siblings if s != number]))
    return found


def _read(path: Path, otherwise: str) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return otherwise


def numbers(text: str) -> list[int]:
    """The kernel's way to list cores: 0-2,5 is 0, 1, 2 and 5."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def layout(config: Config, here: Sequence[Core]) -> ServiceCores:
    """Which cores each service is to use; empty: wherever the kernel puts it. Pure.

    What `cores` lists, or with mesh.pin: on two or three physical cores risk and the matcher take
    turns on one and the gateway has another, on more each of the three has its own. Raises
    CoreError when mesh.busy_poll asks for cores that are not to spare."""
    mesh, listed = config.mesh, config.cores
    one_each = max(mesh.instances.values()) == 1  # several of a service would share its core
    chooses = mesh.pin and listed == ServiceCores() and one_each and not mesh.placement.several
    apart: list[int] = []
    for core in here:
        if not {*core.siblings} & {*apart}:
            apart.append(core.number)
    if mesh.busy_poll:
        if not chooses:
            raise CoreError(
                "mesh.busy_poll chooses the cores: it needs mesh.pin, no cores listed, one of "
                "each service, and all on one host"
            )
        return _busy(apart, here)
    if len(apart) < 2:  # as on many virtual machines: one physical core, two threads
        apart = [core.number for core in here]
    if not chooses or len(apart) < 2:
        return listed
    own = apart[:3] if len(apart) >= OWN_CORES_MIN else (*apart[:2], apart[1])
    return ServiceCores(**{service: [core] for service, core in zip(PINNED, own, strict=True)})


def _busy(apart: Sequence[int], here: Sequence[Core]) -> ServiceCores:
    """apart are of different physical cores. A core that never rests is nobody else's."""
    if len(apart) < BUSY_POLL_CORES_MIN:
        raise CoreError(
            f"mesh.busy_poll keeps three cores busy and needs three more for all else; this "
            f"process may use {len(apart)} physical cores. Set it to false"
        )
    own = apart[:3]
    others = [c.number for c in here if c.number not in own and not {*c.siblings} & {*own}]
    cores = dict.fromkeys(ServiceCores.model_fields, others)
    return ServiceCores(**cores | {service: [n] for service, n in zip(PINNED, own, strict=True)})


def layout_here(config: Config) -> ServiceCores:
    """The layout on this machine, the same before and after this process took its own cores."""
    return layout(config, _cores_at_first())


@cache
def _cores_at_first() -> list[Core]:
    return cores_here()
