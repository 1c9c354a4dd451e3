"""The sockets between the services, and on which host each service is. Pure.

A socket is a file (ipc) while the service that binds it and all that connect to it are on one
host, and else a port with CURVE (tcp). Which of the two is told by the services' placement alone,
so every process comes to the same answer. The shards of a service share its key and its rule.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

PORTS_PER_NUMBER: Final = 10


class Wire(NamedTuple):
    """One kind of socket between services; shard N of the binder has its own."""

    port: int  # after mesh.base_port, and PORTS_PER_NUMBER for each shard
    binder: str
    peers: tuple[str, ...]


WIRES: Final = {
    "health": Wire(  # of one process
        0, "health", ("gateway", "risk", "matcher", "archive", "snapshotter", "marketdata")
    ),
    "feed": Wire(1, "matcher", ("gateway", "risk", "archive", "snapshotter", "marketdata")),
    "matcher": Wire(2, "matcher", ("risk",)),
    "archive": Wire(3, "archive", ("gateway", "risk", "marketdata")),
    "risk": Wire(4, "risk", ("gateway",)),
    "riskpub": Wire(5, "risk", ("gateway",)),
}
# services that are with another one unless it is said otherwise
WITH: Final = {"archive": "matcher", "snapshotter": "matcher", "control": "gateway"}
ON_THE_JOURNALS_DISK: Final = ("archive", "snapshotter")
MEMBERS: Final = ("gateway", "risk", "matcher", "archive", "snapshotter", "marketdata", "health")
PLACED: Final = (*MEMBERS, "control")


def bind_host(host: str) -> str:
    """What to listen on there: an address as it is; a name may stand for one of a proxy's."""
    return host if host.replace(".", "").isdigit() else "0.0.0.0"  # noqa: S104 - CURVE guards it


class Placement:
    """hosts: service, or service and number, -> host; empty: all are on one. instances: how many
    there are of each service; of those not named there is one."""

    def __init__(self, hosts: Mapping[str, str], instances: Mapping[str, int]) -> None:
        self._hosts = hosts
        self._instances = instances

    def host(self, service: str, number: int = 0) -> str:
        """Where it is; empty when nothing is said of it."""
        named = self._hosts.get(f"{service}{number}") or self._hosts.get(service)
        if named is None and service in WITH:
            return self.host(WITH[service], number)
        return named or ""

    def all(self) -> Iterator[tuple[str, int]]:
        """Every instance of every service."""
        for service in PLACED:
            for number in range(self._instances.get(service, 1)):
                yield service, number

    @property
    def hosts(self) -> list[str]:
        """All hosts, each once; [""] when nothing is placed."""
        return sorted({self.host(*one) for one in self.all()})

    @property
    def several(self) -> bool:
        """Whether there are more hosts than one."""
        return len(self.hosts) > 1

    def on(self, host: str) -> list[tuple[str, int]]:
        """The instances on a host."""
        return [one for one in self.all() if self.host(*one) == host]

    def apart(self, wire: str) -> bool:
        """Whether some who use these sockets are on different hosts."""
        users = (WIRES[wire].binder, *WIRES[wire].peers)
        return len({self.host(*one) for one in self.all() if one[0] in users}) > 1

    def ports(self, base: int) -> dict[str, int]:
        """The ports between services, by the names of their sockets."""
        return {
            f"{name}{number}": base + PORTS_PER_NUMBER * number + wire.port
            for name, wire in WIRES.items()
            if self.apart(name)
            for number in range(self._instances.get(wire.binder, 1))
        }

    def binder(self, socket: str) -> tuple[str, int]:
        """The instance that binds the socket of that name, like feed0."""
        name = socket.rstrip("0123456789")
        return WIRES[name].binder, int(socket.removeprefix(name))

    def faults(self) -> Iterator[str]:
        """What is wrong with the placement."""
        if not self._hosts:
            return
        known = {f"{s}{n}" for s, n in self.all()} | {*PLACED}
        for name in self._hosts:
            if name not in known:
                yield f"mesh.hosts places {name}, and there is no such service"
        nowhere = [f"{s} {n}" for s, n in self.all() if not self.host(s, n)]
        if nowhere:
            yield f"mesh.hosts does not say where {', '.join(nowhere)} is: place every service"
        for service, number in self.all():
            disk, own = self.host("matcher", number), self.host(service, number)
            if service in ON_THE_JOURNALS_DISK and own != disk:
                yield (
                    f"mesh.hosts places {service} {number} on {own} and matcher {number} on "
                    f"{disk}: both use one journal, place them together"
                )
