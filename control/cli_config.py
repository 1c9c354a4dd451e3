"""`rtes config`: check, show, explain, compare, encrypt; and `rtes keys`: encryption keys."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import click
from rtes.common.config import PROFILES, ConfigError, Resolved, resolve
from rtes.common.config_env import DEFAULT, Source, did_you_mean
from rtes.common.config_schema import fields, json_schema
from rtes.common.secrets import KeyRing
from rtes.control import config_files
from rtes.control.cli_common import Operator, operator
from rtes.control.files_check import check_named_files

_NONE: Final = "(not set)"
_settings = click.option("--set", "settings", multiple=True, help="PATH=VALUE; wins over all.")
_file = click.argument("file")
_kid = click.option("--kid", help="The key; not needed when there is one.")
_paths = click.option("--path", "paths", multiple=True, help="Only this setting; repeatable.")


@click.group()
def config() -> None:
    """Check, show or encrypt the configuration."""


@config.command()
@operator()
@_settings
def check(op: Operator, settings: Sequence[str]) -> None:
    """Say whether the configuration can be used, and if not, why."""
    found = _resolved(op, settings)
    check_named_files(found.config)
    value = {"profile": op.profile, "environment": found.config.environment, "ok": True}
    op.emit(value, f"{op.profile}: the configuration is good")


@config.command()
@operator()
@_settings
def show(op: Operator, settings: Sequence[str]) -> None:
    """Print the configuration that holds, defaults and overrides applied, secrets masked."""
    found = _resolved(op, settings)
    tree: dict[str, Any] = {"environment": found.config.environment}
    for path, value in found.values().items():
        section, name = path.split(".")
        tree.setdefault(section, {})[name] = value
    click.echo(json.dumps(tree) if op.as_json else json.dumps(tree, indent=2))


@config.command()
@operator()
@_settings
@click.argument("path")
def explain(op: Operator, settings: Sequence[str], path: str) -> None:
    """Say which source gave PATH its value, and what it hid."""
    if path not in fields():
        raise ConfigError(f"{path} names no setting{did_you_mean(path, fields())}")
    found = _resolved(op, settings)
    value = found.values()[path]
    sources = [
        {"source": s.kind, "name": s.name, "value": _of(found, path, s), "used": i == 0}
        for i, s in enumerate(found.sources[path])
    ]
    lines = [f"{path} = {_shown(value)}"]
    for source in sources:
        used = "used  " if source["used"] else "hidden"
        kind = f"{source['source']} {source['name']}".strip()
        lines.append(f"  {used}  {kind} = {_shown(source['value'])}")
    op.emit({"path": path, "value": value, "sources": sources}, "\n".join(lines))


@config.command()
@operator()
@_settings
@click.argument("other")
def diff(op: Operator, settings: Sequence[str], other: str) -> None:
    """Show where the configuration differs from OTHER, a profile or a file.

    The exit code is 0 either way."""
    here = _resolved(op, settings).values()
    there = resolve(other, {}).values()
    differing = {p: [here[p], there[p]] for p in here if here[p] != there[p]}
    lines = [f"{p}: {_shown(a)} here, {_shown(b)} in {other}" for p, (a, b) in differing.items()]
    op.emit(differing, "\n".join(lines) or f"no difference to {other}")


@config.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file."""
    click.echo(json.dumps(json_schema(), indent=2))


@config.command()
@operator(reason=True, profile=False)
@_file
@_kid
@_paths
def encrypt(op: Operator, file: str, kid: str | None, paths: Sequence[str]) -> None:
    """Encrypt the secret values of FILE, or those at --path, where they stand."""
    keys = KeyRing.of(os.environ)
    done = _on(op, file).ask("config encrypt", file=file, keys=keys, kid=kid, paths=list(paths))
    nothing = f"{file} has no secret in plain text; name other values with --path"
    op.emit(done, "".join(f"encrypted {path}\n" for path in done).rstrip() or nothing)


@config.command()
@operator(reason=True, profile=False)
@_file
@_paths
def decrypt(op: Operator, file: str, paths: Sequence[str]) -> None:
    """Print the encrypted values of FILE in plain text."""
    keys = KeyRing.of(os.environ)
    plain = _on(op, file).ask("config decrypt", file=file, keys=keys, paths=list(paths))
    op.emit(plain, "\n".join(f"{path} = {json.dumps(value)}" for path, value in plain.items()))


@config.command("rotate")
@operator(reason=True, profile=False)
@_file
@_kid
def rotate_file(op: Operator, file: str, kid: str | None) -> None:
    """Encrypt the encrypted values of FILE anew, with another key."""
    done = _on(op, file).ask("config rotate", file=file, keys=KeyRing.of(os.environ), kid=kid)
    op.emit(done, f"{file}: {len(done)} values moved")


@config.command()
@operator(reason=True, remote=True)
def reload(op: Operator) -> None:
    """Give services that run what changed in the file since the start: all of it or nothing.

    Settings that are not live need a restart, and are named. Overrides (RTES__...) count as they
    are set here: set those of the start, or what they gave goes back to the file's."""
    done = op.ask("config reload")
    lines = [f"reloaded {path} ({before} to {after})" for path, (before, after) in done.items()]
    op.emit(done, "\n".join(lines) or "nothing changed")


@click.group()
def keys() -> None:
    """Make, list and rotate encryption keys."""


@keys.command()
@operator(reason=True)
@click.argument("kid")
@click.option("--file", default="", help="Write the key there, mode 0600, and do not print it.")
def generate(op: Operator, kid: str, file: str) -> None:
    """Make a key and print the line that gives it to a process."""
    click.echo(op.ask("keys generate", kid=kid, file=file))


@keys.command("list")
@operator(profile=False)
def list_keys(op: Operator) -> None:
    """List the keys that this environment holds; a fingerprint tells two apart."""
    held = KeyRing.of(os.environ).keys.values()
    rows = [{"kid": k.kid, "source": k.source, "fingerprint": k.fingerprint} for k in held]
    op.table(rows, ("kid", "fingerprint", "source"))


@keys.command()
@operator(profile=False)
@click.argument("files", nargs=-1)
def status(op: Operator, files: Sequence[str]) -> None:
    """Say which values need which key; without FILES, those of the three profiles.

    A key that no value needs is unused and may be dropped."""
    rows = config_files.usage(files or _profiles(), KeyRing.of(os.environ))
    op.table(rows, ("kid", "state", "fingerprint", "source", "values"))


@keys.command()
@operator(reason=True, profile=False)
@click.argument("kid")
@click.argument("files", nargs=-1)
def rotate(op: Operator, kid: str, files: Sequence[str]) -> None:
    """Move every encrypted value to key KID, then say which keys may be dropped.

    Without FILES, those of the three profiles. Both keys must be set meanwhile."""
    ring = KeyRing.of(os.environ)
    for file in files or _profiles():
        _on(op, file).ask("config rotate", file=file, keys=ring, kid=kid)
    rows = config_files.usage(files or _profiles(), ring)
    op.table(rows, ("kid", "state", "fingerprint", "source", "values"))


def _on(op: Operator, file: str) -> Operator:
    """The exchange that a file configures: there it is authorised and recorded."""
    return replace(op, profile=str(config_files.found(file)))


def _profiles() -> list[str]:
    return sorted(set(PROFILES.values()))


def _resolved(op: Operator, settings: Sequence[str]) -> Resolved:
    found = resolve(op.profile, settings=settings)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    return found


def _of(found: Resolved, path: str, source: Source) -> Any:
    """A source's value; a default is no secret."""
    return source.value if source.kind == DEFAULT else found.shown(path, source.value)


def _shown(value: Any) -> str:
    return _NONE if value is None else json.dumps(value, default=str)
