"""The sections of the configuration that say how many of each service there are and where they
listen: an instance's ports follow from its number.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from rtes.common.placement import WIRES, Placement

SECTION: Final = ConfigDict(frozen=True, extra="forbid")
Port = Annotated[int, Field(ge=1024, le=65_535)]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")]  # IPv4 or name
_LISTENERS: Final = {
    "orders": "gateway",
    "market data": "marketdata",
    "market data snapshots": "marketdata",
    "http": "health",
    "control": "control",
}


class Exchange(BaseModel):
    """Where participants reach the exchange, and what it lists."""

    model_config = SECTION

    host: str = "127.0.0.1"
    tcp_port: Annotated[Port, Field(description="orders; gateway N has the Nth after it")] = 8888
    market_data_port: Annotated[
        Port,
        Field(description="of matcher shard 0, the next one for requests; each shard the next two"),
    ] = 9999
    http_port: Port = 8080
    control_port: Annotated[
        Port | None, Field(description="operations from other hosts; none: only on this one")
    ] = None
    port_offset: Annotated[int, Field(ge=0, le=50_000, description="added to every port")] = 0
    instruments: Path = Path("configs/instruments.json")
    day_end_utc: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "00:00"

    @property
    def ports(self) -> dict[str, int]:
        """Every port that an exchange of one gateway and one matcher shard listens on, offset
        included, by what it is for. See `instance` for the others."""
        control = {} if self.control_port is None else {"control": self.control_port}
        return {
            **{what: port + self.port_offset for what, port in control.items()},
            "orders": self.tcp_port + self.port_offset,
            "market data": self.market_data_port + self.port_offset,
            "market data snapshots": self.market_data_port + 1 + self.port_offset,
            "http": self.http_port + self.port_offset,
        }

    def instance(self, number: int) -> "Exchange":
        """This, with the ports of the gateway and of the matcher shard of that number."""
        ports = {
            "tcp_port": self.tcp_port + number,
            "market_data_port": self.market_data_port + 2 * number,
        }
        return self.model_copy(update=ports)

    @property
    def orders_endpoint(self) -> str:
        return self._endpoint("orders")

    @property
    def market_data_endpoint(self) -> str:
        return self._endpoint("market data")

    @property
    def snapshots_endpoint(self) -> str:
        return self._endpoint("market data snapshots")

    @property
    def control_endpoint(self) -> str:
        """Of operations from other hosts, when control_port is set."""
        return self._endpoint("control")

    @property
    def day_end_ns(self) -> int:
        """The trading day's end, nanoseconds after 00:00 UTC."""
        hours, minutes = self.day_end_utc.split(":")
        return (int(hours) * 60 + int(minutes)) * 60 * 1_000_000_000

    def _endpoint(self, what: str) -> str:
        return f"tcp://{self.host}:{self.ports[what]}"


class Mesh(BaseModel):
    """How many of each service there are, and where their state lies."""

    model_config = SECTION

    run_dir: Path
    gateways: Annotated[int, Field(ge=1, le=64)] = 1
    risk_shards: Annotated[
        int, Field(ge=1, le=32, description="each has a part of the accounts")
    ] = 1
    matcher_shards: Annotated[
        int,
        Field(ge=1, le=32, description="each has a part of the symbols; fixed once it has traded"),
    ] = 1
    hosts: Annotated[
        dict[str, Host],
        Field(
            description="service, or service and number like `risk1` -> host: where each runs; "
            "empty: all on one host"
        ),
    ] = {}
    base_port: Annotated[
        Port, Field(description="first of those between services on different hosts")
    ] = 7000
    pin: Annotated[
        bool,
        Field(
            description="give gateway, risk and matcher cores of their own when `cores` names "
            "none, there is one of each and all are on one host with two cores or more"
        ),
    ] = False
    busy_poll: Annotated[
        bool,
        Field(
            description="gateway, risk and matcher never sleep; needs `pin`, and six physical "
            "cores: three for them and three for all else"
        ),
    ] = False

    @property
    def placement(self) -> Placement:
        return Placement(self.hosts, self.instances)

    @property
    def instances(self) -> dict[str, int]:
        """How many there are of each service that participants' requests pass through or that
        follows a matcher; of the others there is one."""
        of_matchers = ("matcher", "archive", "marketdata", "snapshotter")
        return {
            "gateway": self.gateways,
            "risk": self.risk_shards,
            **dict.fromkeys(of_matchers, self.matcher_shards),
        }


def ports(exchange: Exchange, mesh: Mesh) -> dict[str, int]:
    """Every port that is listened on, by what it is for: `orders`, `orders 1` of gateway 1,
    `feed0` between services on different hosts."""
    found = dict(exchange.ports)
    for of, count in (("orders", mesh.gateways), ("market data", mesh.matcher_shards)):
        for number in range(1, count):
            own = exchange.instance(number).ports
            found |= {f"{what} {number}": own[what] for what in own if what.startswith(of)}
    return found | mesh.placement.ports(mesh.base_port + exchange.port_offset)


def listener(what: str) -> tuple[str, int]:
    """The instance (service, number) that listens on a port of `ports`, by what that is for."""
    name = what.rstrip("0123456789").rstrip()
    return _LISTENERS.get(name) or WIRES[name].binder, int(what.removeprefix(name) or 0)


def port_faults(exchange: Exchange, mesh: Mesh) -> Iterator[str]:
    """What keeps the ports from being used."""
    found = ports(exchange, mesh)
    by_port: dict[int, list[str]] = {}
    for what, port in found.items():
        by_port.setdefault(port, []).append(what)
    for port, of in by_port.items():
        if len(of) > 1:
            yield f"two of the ports are equal: {port} is for {' and for '.join(of)}"
    highest = max(found, key=lambda what: found[what])
    if found[highest] > 65_535:
        yield (
            f"port_offset {exchange.port_offset} moves a port beyond 65535: "
            f"{highest} would be at {found[highest]}"
        )
