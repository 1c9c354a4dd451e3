"""The configuration: one schema, validated once at start, then frozen.

configs/config.<environment>.json holds what differs from the defaults here. An environment
variable RTES__SECTION__FIELD overrides the file; lists are written as JSON. Relative paths count
from the checkout, the directory above configs/. Every error names file, field, value and what is
allowed. All limits that are not risk limits of an account stand here, each with its unit.
"""

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from rtes.common.refdata import Account, Limits

PROFILES: Final = {
    "dev": "dev",
    "development": "dev",
    "staging": "staging",
    "prod": "prod",
    "production": "prod",
}
OVERRIDE: Final = "RTES__"

Port = Annotated[int, Field(ge=1024, le=65_535)]
Cores = list[Annotated[int, Field(ge=0)]]


class ConfigError(ValueError):
    """The configuration cannot be used; the message says what to change."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Exchange(_Section):
    """Where participants reach the exchange, and what it lists."""

    host: str = "127.0.0.1"
    tcp_port: Port = 8888
    market_data_port: Port = 9999  # the next one is for snapshots and retransmission
    http_port: Port = 8080
    port_offset: Annotated[int, Field(ge=0, le=50_000, description="added to every port")] = 0
    instruments: Path = Path("configs/instruments.json")
    day_end_utc: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "00:00"

    @property
    def ports(self) -> dict[str, int]:
        """Every port that is listened on, offset included, by what it is for."""
        return {
            "orders": self.tcp_port + self.port_offset,
            "market data": self.market_data_port + self.port_offset,
            "market data snapshots": self.market_data_port + 1 + self.port_offset,
            "http": self.http_port + self.port_offset,
        }

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
    def http_url(self) -> str:
        return f"http://{self.host}:{self.ports['http']}"

    @property
    def day_end_ns(self) -> int:
        """The trading day's end, nanoseconds after 00:00 UTC."""
        hours, minutes = self.day_end_utc.split(":")
        return (int(hours) * 60 + int(minutes)) * 60 * 1_000_000_000

    def _endpoint(self, what: str) -> str:
        return f"tcp://{self.host}:{self.ports[what]}"

    @model_validator(mode="after")
    def _ports_apart(self) -> "Exchange":
        ports = list(self.ports.values())
        if len(set(ports)) != len(ports):
            raise ValueError(f"two of the ports are equal: {self.ports}")
        if max(ports) > 65_535:
            raise ValueError(f"port_offset {self.port_offset} moves a port beyond 65535")
        return self


class Mesh(_Section):
    """How many of each service there are, and where their state lies."""

    run_dir: Path
    gateways: Annotated[int, Field(ge=1, le=64)] = 1
    risk_shards: Annotated[int, Field(ge=1, le=64)] = 1
    matcher_shards: Annotated[int, Field(ge=1, le=256)] = 1


class Journal(_Section):
    """When an outcome is durable: `always` survives power loss, `never` only kill -9."""

    durability: Literal["always", "interval", "never"] = "always"
    interval_ms: Annotated[int, Field(ge=1, le=10_000)] = 10
    segment_mib: Annotated[int, Field(ge=1, le=4_096)] = 64

    @property
    def sync_interval_ns(self) -> int | None:
        """0: every batch is synced before its outcomes leave; None: never."""
        if self.durability == "never":
            return None
        return 0 if self.durability == "always" else self.interval_ms * 1_000_000


class Session(_Section):
    """What one participant's session may take up."""

    credit: Annotated[int, Field(ge=1, description="requests in flight")] = 1_000
    messages_per_s_max: Annotated[int, Field(ge=1)] = 10_000
    sessions_max: Annotated[int, Field(ge=1)] = 1_024
    heart_bt_int_max: Annotated[int, Field(ge=1, le=300, description="seconds")] = 300


class ServiceCores(_Section):
    """CPU cores per service; empty: wherever the kernel puts it."""

    gateway: Cores = []
    risk: Cores = []
    matcher: Cores = []
    marketdata: Cores = []
    archive: Cores = []
    health: Cores = []


class Security(_Section):
    curve: bool = True
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class BotGroup(_Section):
    strategy: Literal["market_maker", "liquidity_taker", "momentum", "arbitrage", "noise"]
    count: Annotated[int, Field(ge=1, le=1_000)]


class Bots(_Section):
    """What `rtes bots run` starts; the same seed gives the same orders."""

    seed: int = 1
    groups: list[BotGroup] = []


class Config(_Section):
    """Everything that can be set."""

    environment: Literal["dev", "staging", "prod"]
    exchange: Exchange = Exchange()
    mesh: Mesh
    journal: Journal = Journal()
    session: Session = Session()
    risk: Limits = Limits()
    cores: ServiceCores = ServiceCores()
    security: Security = Security()
    bots: Bots = Bots()

    def limits_of(self, account: Account) -> Limits:
        """The account's own risk limits, or those of the configuration."""
        return account.limits if "limits" in account.model_fields_set else self.risk


def checkout() -> Path:
    """The directory that holds configs/: where the sources lie, or else the current one."""
    sources = Path(__file__).resolve().parent.parent
    return sources if (sources / "configs").is_dir() else Path.cwd()


def load(path_or_profile: str | Path, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of a profile (dev, staging, prod) or a file, overrides applied.

    environ defaults to the process's own. Raises ConfigError."""
    path = _path(path_or_profile)
    tree = _read(path)
    overridden = _override(tree, os.environ if environ is None else environ)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(path, overridden, error)) from None
    home = path.parent.parent if path.parent.name == "configs" else checkout()
    return _anchored(config, home)


def running(profile: str, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration that the profile's mesh was last started with, else the file's.

    So a client finds a mesh that was started with overrides of its own. Raises ConfigError."""
    config = load(profile, environ)
    started = config.mesh.run_dir / "config.json"
    return load(started, environ) if started.exists() else config


def _path(path_or_profile: str | Path) -> Path:
    profile = PROFILES.get(str(path_or_profile).lower())
    if profile is not None:
        return checkout() / "configs" / f"config.{profile}.json"
    return Path(path_or_profile).resolve()


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; profiles are dev, staging, prod") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must be a JSON object")
    return tree


def _anchored(config: Config, home: Path) -> Config:
    mesh = config.mesh.model_copy(update={"run_dir": home / config.mesh.run_dir})
    instruments = home / config.exchange.instruments
    exchange = config.exchange.model_copy(update={"instruments": instruments})
    return config.model_copy(update={"mesh": mesh, "exchange": exchange})


def _fields() -> dict[str, tuple[str, str]]:
    """Override name -> (section, field)."""
    return {
        f"{OVERRIDE}{section}__{field}".upper(): (section, field)
        for section, info in Config.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
        for field in info.annotation.model_fields
    }


def _override(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Put the overrides into tree; returns field path -> name of the variable."""
    known = _fields()
    overridden = {}
    for name, text in environ.items():
        if not name.startswith(OVERRIDE):
            continue
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"environment variable {name} names no setting{hint}")
        section, field = known[name]
        tree.setdefault(section, {})[field] = _value(name, text)
        overridden[f"{section}.{field}"] = name
    return overridden


def _value(name: str, text: str) -> Any:
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"environment variable {name}={text}: not JSON: {error}") from None


def _explain(path: Path, overridden: Mapping[str, str], error: ValidationError) -> str:
    lines = []
    for e in error.errors():
        where = ".".join(str(part) for part in e["loc"])
        source = overridden.get(".".join(str(part) for part in e["loc"][:2]), path)
        value = "" if isinstance(e["input"], dict) else f" = {e['input']!r}"
        lines.append(f"{source}: {where}{value}: {e['msg']}")
    return "\n".join(lines)
