"""Encrypting values of configuration files, and moving them to another key.

A file keeps its layout; only the values change. What is decrypted is checked to come from this
file's environment and path. Values are told by fingerprint in the audit log, never as they are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtes.common.config import PROFILES, Config, ConfigError, checkout, leaves, load, read
from rtes.common.config_env import did_you_mean
from rtes.common.config_schema import fields, is_live, is_secret
from rtes.common.secrets import Envelope, KeyRing, SecretError, is_envelope
from rtes.common.storage import replace
from rtes.control.desk import Desk, Plan
from rtes.control.json_text import replace_values


def encrypt(
    desk: Desk, file: str, keys: KeyRing, kid: str | None = None, paths: Sequence[str] = ()
) -> Plan:
    """The secret values of a file, or those at paths, as envelopes. Answers the paths."""
    where = found(file)
    tree = read(where)
    values, kid = leaves(tree), _chosen(keys, kid)
    known = fields()
    for path in paths:
        if path not in known:
            raise ConfigError(f"{path} names no setting{did_you_mean(path, known)}")
        if path not in values:
            raise ConfigError(f"{path} is not in {where}; put its value there first")
    wanted = paths or [p for p in values if p in known and is_secret(known[p])]
    plain = {p: values[p] for p in wanted if not is_envelope(values[p])}
    environment = environment_of(where, tree)
    sealed = {p: keys.encrypt(v, environment, p, kid) for p, v in plain.items()}
    old = {p: desk.audit.fingerprint(str(v)) for p, v in plain.items()}
    return _edit(where, sealed, old, dict.fromkeys(sealed, f"encrypted with {kid}"))


def decrypt(
    desk: Desk,  # noqa: ARG001 - every operation gets it
    file: str,
    keys: KeyRing,
    paths: Sequence[str] = (),
) -> Plan:
    """The plain values, for the caller's eyes only."""
    where = found(file)
    tree = read(where)
    sealed = {p: v for p, v in leaves(tree).items() if is_envelope(v)}
    for path in paths:
        if path not in sealed:
            raise ConfigError(f"{path} is not encrypted in {where}")
    environment = environment_of(where, tree)
    wanted = [p for p in sealed if not paths or p in paths]
    plain = {p: keys.decrypt(sealed[p], environment, p, f"{where}: {p}") for p in wanted}
    return Plan(str(where), lambda: plain, new=wanted)


def rotate(desk: Desk, file: str, keys: KeyRing, kid: str | None = None) -> Plan:
    """Every encrypted value under another key. Answers the paths that moved."""
    where = found(file)
    tree = read(where)
    environment, kid = environment_of(where, tree), _chosen(keys, kid)
    old, new = {}, {}
    for path, value in leaves(tree).items():
        if not is_envelope(value):
            continue
        before = Envelope.parse(value, f"{where}: {path}").kid
        if before != kid:
            plain = keys.decrypt(value, environment, path, f"{where}: {path}")
            new[path] = keys.encrypt(plain, environment, path, kid)
            old[path] = f"{before} {desk.audit.fingerprint(str(plain))}"
    return _edit(where, new, old, dict.fromkeys(new, f"encrypted with {kid}"))


def reload(desk: Desk) -> Plan:
    """The configuration as it is in its file now, for services that run: all of it or nothing.
    Answers what changed, from what to what. Raises ConfigError for what needs a restart."""
    file = desk.paths.config_file
    if not file.exists():
        raise ConfigError(f"{file} is not there: the exchange was never started")
    new, old = load(desk.source), Config.model_validate_json(file.read_text())
    changed: dict[str, tuple[Any, Any]] = {}
    for path, info in fields().items():
        section, name = path.split(".")
        before, after = (getattr(getattr(c, section), name) for c in (old, new))
        if before != after and not is_secret(info):  # the file of what runs holds no secrets
            changed[path] = before, after
    fixed = [f"{p} ({a} to {b})" for p, (a, b) in changed.items() if not is_live(p)]
    if fixed:
        raise ConfigError(
            f"these need a restart (scripts/stop.sh, scripts/start.sh): {', '.join(fixed)}; "
            "nothing was changed"
        )

    def apply() -> dict[str, tuple[Any, Any]]:
        if changed:
            replace(file, new.without_secrets() + "\n")
        return changed

    was = {p: before for p, (before, _) in changed.items()}
    return Plan("configuration", apply, was, {p: after for p, (_, after) in changed.items()})


def usage(files: Sequence[str], keys: KeyRing) -> list[dict[str, Any]]:
    """Each key: where it comes from and which values need it; a key none needs may be dropped."""
    used: dict[str, list[str]] = {kid: [] for kid in keys.keys}
    for file in files:
        where = found(file)
        for path, value in leaves(read(where)).items():
            if is_envelope(value):
                kid = Envelope.parse(value, f"{where}: {path}").kid
                used.setdefault(kid, []).append(f"{where.name}: {path}")
    return [_key_row(kid, keys, values) for kid, values in used.items()]


def found(file: str) -> Path:
    """A file by its path, by its name in configs/, or by profile. Raises ConfigError."""
    profile = PROFILES.get(file.lower())
    named = checkout() / "configs" / (f"config.{profile}.json" if profile else file)
    for path in (Path(file), named):
        if path.is_file():
            return path.resolve()
    raise ConfigError(f"there is no file {file}, and none of that name in {named.parent}")


def environment_of(path: Path, tree: dict[str, Any]) -> str:
    """dev, staging or prod, as the file says. Raises ConfigError."""
    named = PROFILES.get(str(tree.get("environment", "")).lower())
    if named is None:
        raise ConfigError(f"{path}: environment must be dev, staging or prod")
    return named


def _key_row(kid: str, keys: KeyRing, values: list[str]) -> dict[str, Any]:
    key = keys.keys.get(kid)
    state = "in use" if values else "unused: may be dropped"
    if key is None:
        state = f"missing: set RTES_ENCRYPTION_KEY_{kid}"
    source = key.source if key else None
    fingerprint = key.fingerprint if key else None
    return {
        "kid": kid, "state": state, "source": source, "fingerprint": fingerprint, "values": values
    }  # fmt: skip


def _chosen(keys: KeyRing, kid: str | None) -> str:
    if kid is not None:
        return keys.get(kid, "encrypting").kid
    if len(keys.keys) == 1:
        return next(iter(keys.keys))
    if not keys.keys:
        raise SecretError("no encryption key is set; make one: rtes keys generate prod_key_2024")
    raise SecretError(f"which key? there are {', '.join(sorted(keys.keys))}; say --kid KEY_ID")


def _edit(where: Path, values: dict[str, str], old: Any, new: Any) -> Plan:
    def apply() -> list[str]:
        if values:
            mode = where.stat().st_mode & 0o777
            replace(where, replace_values(where.read_text(), values), mode)
        return list(values)

    return Plan(str(where), apply, old, new)
