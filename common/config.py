"""The configuration of a process: command line over environment over file over defaults.

configs/config.<environment>.json holds what differs from the defaults of config_schema.py;
config_env.py says how settings are overridden, secrets.py how values are encrypted. Relative
paths count from the checkout, the directory above configs/. Every error names where a value
comes from, the field, the value and what is allowed; secrets and encrypted values are masked.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python
from rtes.common.config_env import (
    DEFAULT,
    FILE,
    ConfigError,
    Source,
    did_you_mean,
    read_command_line,
    read_environment,
)
from rtes.common.config_schema import PROFILES, Config, ServiceCores, fields, is_secret
from rtes.common.secrets import KeyRing, is_envelope

__all__ = [
    "MASK",
    "PROFILES",
    "Config",
    "ConfigError",
    "Resolved",
    "ServiceCores",
    "checkout",
    "load",
    "resolve",
    "running",
]
MASK: Final = "(secret)"
_SCHEMA_NAME: Final = "$schema"


@dataclass
class Resolved:
    """A configuration and where each of its values comes from."""

    config: Config
    file: Path
    sources: dict[str, list[Source]]  # path -> sources, the one that won first
    hidden: set[str]  # paths whose values are masked
    key_ids: dict[str, str] = field(default_factory=dict)  # path -> key that opened it
    warnings: list[str] = field(default_factory=list)

    def shown(self, path: str, value: Any) -> Any:
        """A value of the path as it may be shown."""
        if value is None or (path not in self.hidden and not is_envelope(value)):
            return to_jsonable_python(value)
        return MASK

    def values(self) -> dict[str, Any]:
        """Every setting that holds, masked where it must be."""
        sections = {name: getattr(self.config, name) for name in Config.model_fields}
        found = {}
        for path in fields():
            section, name = path.split(".")
            found[path] = self.shown(path, getattr(sections[section], name))
        return found


def checkout() -> Path:
    """The directory that holds configs/: where the sources lie, or else the current one."""
    sources = Path(__file__).resolve().parent.parent
    return sources if (sources / "configs").is_dir() else Path.cwd()


def load(path_or_profile: str | Path, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of a profile (dev, staging, prod) or a file, overrides applied.

    environ defaults to the process's own. Raises ConfigError, SecretError."""
    return resolve(path_or_profile, environ).config


def running(profile: str, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration that the profile's mesh was last started with, else the file's.

    So a client finds a mesh that was started with overrides of its own; secrets are not in it.
    Raises ConfigError."""
    try:
        config = load(profile, environ)
    except ConfigError as error:
        started = checkout() / "var" / profile / "config.json"
        if not started.exists():
            raise
        raise ConfigError(f"{error}; what was started is there: --profile {started}") from None
    started = config.mesh.run_dir / "config.json"
    return load(started, environ) if started.exists() else config


def resolve(
    path_or_profile: str | Path,
    environ: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
) -> Resolved:
    """As load, with where every value comes from. settings are PATH=VALUE of a command line."""
    environ = os.environ if environ is None else environ
    path = file_of(path_or_profile)
    tree = read(path)
    environment = _environment(path, tree)
    sources = {p: [Source(FILE, str(path), v)] for p, v in leaves(tree).items() if p in fields()}
    overrides = read_environment(environ, environment)
    for name, found in overrides.by_path.items():
        sources[name] = [*found, *sources.get(name, [])]
    for name, source in read_command_line(settings).items():
        sources[name] = [source, *sources.get(name, [])]
    hidden = {name for name, info in fields().items() if is_secret(info)}
    key_ids = _apply(tree, sources, environment, KeyRing.of(environ))
    hidden.update(key_ids)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        plain = {p: _at(tree, p) for p in hidden}
        raise ConfigError(_explain(path, sources, plain, error.errors())) from None
    for name, info in fields().items():
        default = Source(DEFAULT, "", info.get_default(call_default_factory=True))
        sources.setdefault(name, []).append(default)
    home = path.parent.parent if path.parent.name == "configs" else checkout()
    return Resolved(_anchored(config, home), path, sources, hidden, key_ids, overrides.warnings)


def file_of(path_or_profile: str | Path) -> Path:
    """The file of a profile, or the path itself."""
    profile = PROFILES.get(str(path_or_profile).lower())
    if profile is not None:
        return checkout() / "configs" / f"config.{profile}.json"
    return Path(path_or_profile).resolve()


def read(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ConfigError."""
    try:
        tree = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; profiles are dev, staging, prod") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must be a JSON object")
    tree.pop(_SCHEMA_NAME, None)
    return tree


def leaves(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The values in the sections of a file, by path."""
    return {
        f"{section}.{name}": value
        for section, values in tree.items()
        if isinstance(values, dict)
        for name, value in values.items()
    }


def _environment(path: Path, tree: Mapping[str, Any]) -> str:
    named = tree.get("environment")
    found = PROFILES.get(named.lower()) if isinstance(named, str) else None
    if found is None:
        raise ConfigError(f"{path}: environment = {named!r}: it must be dev, staging or prod")
    return found


def _apply(
    tree: dict[str, Any], sources: dict[str, list[Source]], environment: str, keys: KeyRing
) -> dict[str, str]:
    """Put what won into tree, decrypted; returns path -> key id of what was encrypted."""
    key_ids = {}
    for path, found in sources.items():
        section, name = path.split(".")
        value, source = found[0].value, found[0].name
        if is_envelope(value):
            key_ids[path] = value.split(",")[2] if value.count(",") > 2 else ""
            value = keys.decrypt(value, environment, path, f"{source}: {path}")
        if isinstance(tree.setdefault(section, {}), dict):
            tree[section][name] = value
    return key_ids


def _at(tree: Mapping[str, Any], path: str) -> Any:
    section, name = path.split(".")
    values = tree.get(section)
    return values.get(name) if isinstance(values, dict) else None


def _anchored(config: Config, home: Path) -> Config:
    """Relative paths made absolute."""
    mesh = config.mesh.model_copy(update={"run_dir": home / config.mesh.run_dir})
    instruments = home / config.exchange.instruments
    exchange = config.exchange.model_copy(update={"instruments": instruments})
    names = ("tls_cert_file", "tls_key_file", "tls_ca_file")
    files = {name: getattr(config.security, name) for name in names}
    anchored = {name: home / file for name, file in files.items() if file is not None}
    security = config.security.model_copy(update=anchored)
    return config.model_copy(update={"mesh": mesh, "exchange": exchange, "security": security})


def _explain(
    path: Path, sources: Mapping[str, list[Source]], hidden: Mapping[str, Any], errors: list[Any]
) -> str:
    said = "\n".join(_line(path, sources, hidden, e) for e in errors)
    for value in hidden.values():  # what compares fields may have quoted one
        said = said.replace(str(value), MASK) if value not in (None, "") else said
    return said


def _line(
    path: Path,
    sources: Mapping[str, list[Source]],
    hidden: Mapping[str, Any],
    error: ErrorDetails,
) -> str:
    where = ".".join(str(part) for part in error["loc"])
    setting = ".".join(str(part) for part in error["loc"][:2])
    source = sources[setting][0].name if setting in sources else str(path)
    message = error["msg"].removeprefix("Value error, ")
    value = f" = {MASK if setting in hidden else repr(error['input'])}"
    if isinstance(error["input"], dict) or "." not in where:
        value = ""
    if error["type"] == "extra_forbidden":
        known = [*fields()] if "." in where else [*Config.model_fields]
        message = f"there is no such setting{did_you_mean(where, known)}"
    return f"{source}: {where}{value}: {message}" if where else f"{source}: {message}"
