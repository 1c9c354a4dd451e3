"""The schema of the configuration: every setting with its type, bounds and unit.

Validated once at start, then frozen. What one field cannot know is checked across fields: ports
apart, limits that can be reached, cores that are shared, and what prod never runs without. A
field of type SecretStr is secret: it is masked wherever a configuration is shown.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from rtes.common.config_mesh import SECTION, Exchange, Mesh, port_faults, ports
from rtes.common.flags import FlagName, Percent, Rule, Targeting, fault
from rtes.common.placement import bind_host
from rtes.common.refdata import Account, Limits

PROFILES: Final = {
    "dev": "dev",
    "development": "dev",
    "staging": "staging",
    "prod": "prod",
    "production": "prod",
}
LIVE: Final = (
    "security.log_level",
    "session.credit",
    "session.heart_bt_int_max",
    "session.messages_per_s_max",
    "session.throttled_share",
)
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

Cores = list[Annotated[int, Field(ge=0)]]


class _Section(BaseModel):
    model_config = SECTION


class Journal(_Section):
    """When an outcome is durable: `always` survives power loss, `never` only kill -9."""

    durability: Literal["always", "interval", "never"] = "always"
    interval_ms: Annotated[int, Field(ge=1, le=10_000)] = 10
    segment_mib: Annotated[int, Field(ge=1, le=4_096)] = 64
    snapshot_commands: Annotated[
        int, Field(ge=1_000, description="commands between snapshots: what a start replays")
    ] = 250_000
    snapshot_interval_s: Annotated[int, Field(ge=1, le=86_400)] = 600
    retention: Annotated[
        Literal["snapshots", "all"],
        Field(description="`snapshots` removes segments that no kept snapshot needs"),
    ] = "snapshots"
    history_mib: Annotated[
        int,
        Field(
            ge=0,
            description="of the segments that no snapshot needs, what stays nevertheless: "
            "participants who were away are told from it what they missed",
        ),
    ] = 1_024

    @property
    def meaning(self) -> str:
        """What the durability promises, for whoever looks at the exchange."""
        kept = "what was told survives kill -9"
        return {
            "always": f"{kept} and power loss",
            "interval": f"{kept}; power loss may take the last {self.interval_ms} ms",
            "never": f"{kept}, not power loss",
        }[self.durability]

    @property
    def sync_interval_ns(self) -> int | None:
        """0: every batch is synced before its outcomes leave; None: never."""
        if self.durability == "never":
            return None
        return 0 if self.durability == "always" else self.interval_ms * 1_000_000


class Session(_Section):
    """What one participant's session may take up."""

    credit: Annotated[int, Field(ge=1, le=16_384, description="requests in flight")] = 1_000
    messages_per_s_max: Annotated[int, Field(ge=1)] = 10_000
    throttled_share: Annotated[
        float, Field(gt=0, le=1, description="of it that `rtes emergency throttle` leaves")
    ] = 0.1
    sessions_max: Annotated[int, Field(ge=1)] = 1_024
    heart_bt_int_max: Annotated[
        int, Field(ge=30, le=300, description="seconds; 30 is what a Logon has that names none")
    ] = 300


class ServiceCores(_Section):
    """CPU cores per service; empty: wherever the kernel puts it."""

    gateway: Cores = []
    risk: Cores = []
    matcher: Cores = []
    marketdata: Cores = []
    archive: Cores = []
    snapshotter: Cores = []
    health: Cores = []


class Security(_Section):
    """What the sockets ask of those who connect. TLS is that of the HTTP pages."""

    curve: bool = True
    tls: bool = False
    tls_cert_file: Annotated[Path | None, Field(description="none: run_dir/certs/server.crt")] = (
        None
    )
    tls_key_file: Annotated[Path | None, Field(description="none: in run_dir/certs")] = None
    tls_ca_file: Annotated[Path | None, Field(description="none: in run_dir/certs")] = None
    tls_client_auth: Annotated[bool, Field(description="ask clients for certificates")] = False
    tls_key_passphrase: SecretStr | None = None
    http_token: Annotated[
        SecretStr | None, Field(description="HTTP pages show details only to who has it")
    ] = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @model_validator(mode="after")
    def _certificate_and_key(self) -> "Security":
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together: set both or neither")
        return self


class FeatureFlags(_Section):
    """For whom features are on: `"enable_NAME": true` or false, percentages, and who is in or out
    by name. See docs/operations.md."""

    model_config = ConfigDict(
        json_schema_extra={"patternProperties": {"^enable_": {"type": "boolean"}}}
    )

    enabled: Annotated[
        dict[FlagName, bool], Field(description="the same as enable_NAME; false is off for all")
    ] = {}
    rollout_percentages: Annotated[
        dict[FlagName, Percent], Field(description="on for so many of the units")
    ] = {}
    targeting: Annotated[
        dict[FlagName, Targeting], Field(description="`deny`, `allow`, `rules`: before percentages")
    ] = {}

    @model_validator(mode="before")
    @classmethod
    def _prefixed(cls, section: Any) -> Any:
        if not isinstance(section, dict):
            return section
        named = {k: v for k, v in section.items() if k.startswith("enable_")}
        rest = {k: v for k, v in section.items() if k not in named}
        enabled = {k.removeprefix("enable_"): v for k, v in named.items()}
        given = rest.get("enabled", {})
        return {**rest, "enabled": {**enabled, **given} if isinstance(given, dict) else given}

    @model_validator(mode="after")
    def _possible(self) -> "FeatureFlags":
        faults = [f for name, rule in self.rules().items() if (f := fault(name, rule))]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def rules(self) -> dict[str, Rule]:
        """By the name of the flag, without `enable_`."""
        percents, targeting = self.rollout_percentages, self.targeting
        return {
            name: Rule(
                enabled=self.enabled.get(name),
                percent=percents.get(name),
                targeting=targeting.get(name, Targeting()),
            )
            for name in sorted([*{**self.enabled, **percents, **targeting}])
        }


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
    feature_flags: FeatureFlags = FeatureFlags()
    bots: Bots = Bots()

    @field_validator("environment", mode="before")
    @classmethod
    def _long_names(cls, value: Any) -> Any:
        return PROFILES.get(value.lower(), value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fields_agree(self) -> "Config":
        faults = [*self.mesh.placement.faults(), *port_faults(self.exchange, self.mesh)]
        faults += [*self._limits(), *self._cores(), *self._exposed()]
        if self.environment == "prod":
            faults += self._not_in_prod()
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def ports(self) -> dict[str, int]:
        """Every port that is listened on; see rtes.common.config_mesh.ports."""
        return ports(self.exchange, self.mesh)

    @property
    def market_data_endpoints(self) -> list[str]:
        """Where each matcher shard's market data is published."""
        shards = range(self.mesh.matcher_shards)
        return [self.serving("marketdata", shard).market_data_endpoint for shard in shards]

    def serving(self, service: str, number: int = 0) -> Exchange:
        """Where an instance of gateway, marketdata, health or control is reached."""
        own, host = self.exchange.instance(number), self.mesh.placement.host(service, number)
        return own.model_copy(update={"host": host}) if host else own

    def listening(self, service: str, number: int = 0) -> Exchange:
        """What that instance binds: its address; a name may stand for another, so then all."""
        own = self.serving(service, number)
        placed = self.mesh.placement.host(service, number)
        return own.model_copy(update={"host": bind_host(placed)}) if placed else own

    def _limits(self) -> Iterator[str]:
        risk = self.risk
        if risk.order_qty_max > risk.position_max:
            yield (
                f"risk.order_qty_max {risk.order_qty_max} is above risk.position_max "
                f"{risk.position_max}: no such order could be taken"
            )
        if risk.notional_max > risk.credit_max:
            yield (
                f"risk.notional_max {risk.notional_max} is above risk.credit_max "
                f"{risk.credit_max}: no such order could be taken"
            )

    def _cores(self) -> Iterator[str]:
        """The matcher is the limit of the mesh: what shares its core slows everybody."""
        for service in ServiceCores.model_fields:
            listed = getattr(self.cores, service)
            twice = [core for core, count in Counter(listed).items() if count > 1]
            if twice:
                yield f"cores.{service} names core {twice[0]} twice"
            shared = sorted({*self.cores.matcher} & {*listed})
            if self.environment == "prod" and service != "matcher" and shared:
                yield f"cores.{service} shares core {shared[0]} with cores.matcher"

    def _exposed(self) -> Iterator[str]:
        if self.security.curve:
            return
        if self.exchange.control_port is not None:
            yield "exchange.control_port needs security.curve on: a key says who operates"
        if self.mesh.placement.several:
            yield (
                "security.curve is off and mesh.hosts names several hosts: without keys anybody "
                "between them could trade; turn curve on"
            )
        elif (host := self.serving("gateway").host) not in LOOPBACK:
            setting = "mesh.hosts.gateway" if self.mesh.hosts else "exchange.host"
            yield (
                f"security.curve is off and {setting} is {host}: without keys "
                f"anybody could trade; turn curve on or listen on 127.0.0.1"
            )

    def _not_in_prod(self) -> Iterator[str]:
        if not self.security.curve:
            yield "security.curve is off: prod needs it on"
        if not self.security.tls:
            yield "security.tls is off: prod needs it on (rtes certs init makes certificates)"
        if self.journal.durability == "never":
            yield "journal.durability is never: prod needs always or interval"

    def without_secrets(self) -> str:
        """As JSON, for those who are to find this exchange and not to know its secrets."""
        secret: dict[str, set[str]] = {}
        for path, field in fields().items():
            if is_secret(field):
                section, name = path.split(".")
                secret.setdefault(section, set()).add(name)
        return self.model_dump_json(indent=2, exclude=secret)

    @property
    def http_url(self) -> str:
        """Where the health pages are."""
        scheme = "https" if self.security.tls else "http"
        health = self.serving("health")
        return f"{scheme}://{health.host}:{health.ports['http']}"

    def limits_of(self, account: Account) -> Limits:
        """The account's own risk limits, or those of the configuration."""
        return account.limits if "limits" in account.model_fields_set else self.risk


def fields() -> dict[str, FieldInfo]:
    """Every setting by its path, like exchange.tcp_port; not `environment`, which the file says."""
    found = {}
    for section, info in Config.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            for name, field in info.annotation.model_fields.items():
                found[f"{section}.{name}"] = field
    return found


def is_secret(field: FieldInfo) -> bool:
    """Whether its value is never shown."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def is_live(path: str) -> bool:
    """Whether a setting can change while the exchange runs; others need a restart."""
    return path in LIVE or path.startswith(("risk.", "feature_flags."))


def json_schema() -> dict[str, Any]:
    """JSON Schema of a configuration file, for editors."""
    schema = Config.model_json_schema()
    # every value may stand encrypted in the file, whatever its type
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "RTES configuration"
    schema["properties"] = {"$schema": {"type": "string"}, **schema["properties"]}
    envelope = {"type": "string", "pattern": r"^ENC\[v1,AES256_GCM,"}
    settings = {path.split(".")[0] for path in fields()}
    for name in sorted(settings):
        reference = schema["properties"][name]["$ref"].rpartition("/")[2]
        section = schema["$defs"][reference]
        for field, held in section["properties"].items():
            section["properties"][field] = {"anyOf": [held, envelope]}
    return schema
