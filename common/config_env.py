"""Overrides: which setting a name means, in both spellings, and which names are not ours.

RTES_exchange.tcp_port_PROD is the spelling for env(1), containers and supervisord, which take
dots; RTES__EXCHANGE__TCP_PORT__PROD is the one for shells. The suffix is optional, and that of
another environment makes a name count for nothing here. Pure: names and texts in, settings out.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_origin

from rtes.common.config_schema import PROFILES, fields
from rtes.common.errors import OperatorError

PREFIX: Final = "RTES_"
SHELL_PREFIX: Final = "RTES__"
RESERVED: Final = ("RTES_ENVIRONMENT", "RTES_COMPILE")
RESERVED_PREFIXES: Final = ("RTES_ENCRYPTION_KEY_",)
ALIASES: Final = {
    "RTES_TLS_CERT_FILE": "security.tls_cert_file",
    "RTES_TLS_KEY_FILE": "security.tls_key_file",
    "RTES_TLS_CA_FILE": "security.tls_ca_file",
}
COMMAND_LINE: Final = "command line"
ENVIRONMENT: Final = "environment"
FILE: Final = "file"
DEFAULT: Final = "default"
# what Kubernetes puts into every container for a Service called rtes or rtes-anything
_SERVICE_LINK: Final = re.compile(
    r"RTES_(?:[A-Z0-9_]+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)"
)
_SERVICE_URL: Final = re.compile(r"RTES_(?:[A-Z0-9_]+_)?PORT")
_SUFFIX: Final = re.compile(rf"(.+?)__?({'|'.join(PROFILES)})", re.IGNORECASE)


class ConfigError(OperatorError):
    """The configuration cannot be used; the message says what to change."""


@dataclass(frozen=True)
class Source:
    """One place that gives a setting a value, as text or JSON value, before decryption."""

    kind: str
    name: str
    value: Any


@dataclass
class Overrides:
    """What the environment says: path -> sources that agree, and what to warn of."""

    by_path: dict[str, list[Source]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_environment(environ: Mapping[str, str], environment: str) -> Overrides:
    """The overrides for one environment (dev, staging, prod). Raises ConfigError."""
    found = Overrides()
    known = {path.lower(): path for path in fields()}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or _not_ours(name, text):
            continue
        path, suffix = _meaning(name, known)
        if path is None:
            _unknown(name, environment, found.warnings)
        elif suffix in (None, environment):
            sources = found.by_path.setdefault(path, [])
            sources.append(Source(ENVIRONMENT, name, value_of(path, text, name)))
    for path, sources in found.by_path.items():
        for other in sources[1:]:
            if other.value != sources[0].value:
                raise ConfigError(
                    f"environment variables {sources[0].name} and {other.name} give {path} "
                    f"different values; keep one"
                )
    return found


def read_command_line(settings: Sequence[str]) -> dict[str, Source]:
    """Settings written PATH=VALUE. Raises ConfigError."""
    known, found = fields(), {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write it PATH=VALUE, like exchange.tcp_port=9000")
        if path not in known:
            raise ConfigError(f"--set {path} names no setting{did_you_mean(path, known)}")
        found[path] = Source(COMMAND_LINE, f"--set {path}", value_of(path, text, f"--set {path}"))
    return found


def value_of(path: str, text: str, name: str) -> Any:
    """The value that a text means for a setting: lists and tables are JSON. Raises ConfigError."""
    if get_origin(fields()[path].annotation) not in (list, dict) or text.startswith("ENC["):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{name}={text}: not JSON, which {path} needs: {error}") from None


def did_you_mean(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    """A hint for an error message, or nothing."""
    lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    return f"; did you mean {lower[near[0]]}?" if near else ""


def shell_name(path: str) -> str:
    """The shell-safe spelling of a setting."""
    return SHELL_PREFIX + path.replace(".", "__").upper()


def _not_ours(name: str, text: str) -> bool:
    if name in RESERVED or name.startswith(RESERVED_PREFIXES):
        return True
    if name.startswith(SHELL_PREFIX):
        return False
    if _SERVICE_LINK.fullmatch(name):
        return True
    return _SERVICE_URL.fullmatch(name) is not None and "://" in text


def _meaning(name: str, known: Mapping[str, str]) -> tuple[str | None, str | None]:
    """(path, environment of the suffix); path is None when the name means nothing."""
    if name in ALIASES:
        return ALIASES[name], None
    for path, suffix in _readings(name):
        if path.lower() in known:
            return known[path.lower()], suffix
    return None, None


def _readings(name: str) -> Iterator[tuple[str, str | None]]:
    """The whole name first: a setting may end like a suffix."""
    shell = name.startswith(SHELL_PREFIX)
    rest = name.removeprefix(SHELL_PREFIX if shell else PREFIX)
    yield (rest.replace("__", ".") if shell else rest), None
    if split := _SUFFIX.fullmatch(rest):
        path = split[1].replace("__", ".") if shell else split[1]
        yield path, PROFILES[split[2].lower()]


def _unknown(name: str, environment: str, warnings: list[str]) -> None:
    """A name that is meant as an override is an error everywhere, any other where it counts."""
    meant = name.startswith(SHELL_PREFIX) or "." in name
    spellings = [*ALIASES, *(shell_name(p) for p in fields()), *RESERVED]
    if "." in name:
        spellings = [PREFIX + path for path in fields()]
    said = f"environment variable {name} names no setting{did_you_mean(name, spellings)}"
    if meant or environment != "dev":
        raise ConfigError(said)
    warnings.append(said)
