"""Accounts and their CURVE keys: what `rtes setup` makes before the first start.

Only what is missing is made, so it may run at every start and by every service at once: a lock
orders them, and files appear whole by rename. Outside prod it makes the accounts that people and
bots try the exchange with. Secrets are mode 0600 in a directory of mode 0700.
"""

import json
from pathlib import Path
from typing import Final

import zmq
from rtes.common.config import Config
from rtes.common.enums import Role
from rtes.common.paths import Paths
from rtes.common.placement import MEMBERS
from rtes.common.refdata import Account, Accounts, load_accounts
from rtes.common.storage import replace
from rtes.common.wiring import MeshKeys, key_pair
from rtes.control import certs
from rtes.control.files import locked
from rtes.control.shards import keep_shards

SERVER: Final = "gateway"  # the key file of the exchange's own key pair
OPERATOR: Final = "OPS"  # the account of the exchange's own people
DEMO_COUNT: Final = 4
BOT_COUNT_MIN: Final = 40


def setup(config: Config) -> list[str]:
    """Make directories, server key, certificates, accounts and keys that are missing. Returns
    the names of the accounts made. Raises OperatorError."""
    paths = Paths(config)
    paths.prepare()
    with locked(paths.run_dir / "setup.lock"):
        keep_shards(config)
        if not paths.config_file.exists():
            write_config(config)
        server_key = _server_key(config)
        if config.mesh.placement.several:
            _mesh_keys(config)
        if config.security.tls and config.security.tls_cert_file is None:
            certs.init(config)
        known = _known_accounts(paths)
        have = {a.name: a for a in known}
        made: list[Account] = []
        next_id = max((a.id for a in known), default=0) + 1
        for name, role in _usual(config):
            if name not in have:
                have[name] = _new_account(paths, next_id + len(made), name, role, server_key)
                made.append(have[name])
        if made or not paths.accounts_file.exists():
            write_accounts(config, [*known, *made])
    return [a.name for a in made]


def write_config(config: Config) -> None:
    """Leave it where those find it who look for a running exchange, and services that run take
    what changes of it: for a start of all of them, never beside one."""
    _write_if_changed(Paths(config).config_file, config.without_secrets() + "\n")


def bot_names(config: Config) -> list[str]:
    """The accounts that bots trade with, in order."""
    wanted = sum(group.count for group in config.bots.groups)
    return [f"BOT{i:02d}" for i in range(1, max(BOT_COUNT_MIN, wanted) + 1)]


def _usual(config: Config) -> list[tuple[str, Role]]:
    if config.environment == "prod":
        return [(OPERATOR, Role.OPERATOR)]
    demo = [(f"DEMO{i}", Role.PARTICIPANT) for i in range(1, DEMO_COUNT + 1)]
    bots = [(name, Role.PARTICIPANT) for name in bot_names(config)]
    return [*demo, (OPERATOR, Role.OPERATOR), *bots]


def _known_accounts(paths: Paths) -> list[Account]:
    if not paths.accounts_file.exists():
        return []
    return load_accounts(paths.accounts_file).accounts


def _server_key(config: Config) -> str:
    path = Paths(config).key_file(SERVER)
    if not path.exists():
        public, secret = zmq.curve_keypair()
        key = {"public_key": public.decode(), "secret_key": secret.decode()}
        _write_secret(path, {"environment": config.environment, **key})
    return key_pair(path, path.read_text())["public_key"]


def _mesh_keys(config: Config) -> None:
    """A key pair for each service, and all public ones in a file that every host has."""
    paths, public_keys = Paths(config), {}
    for service in MEMBERS:
        path = paths.key_file(f"mesh@{service}")
        if not path.exists():
            public, secret = (key.decode() for key in zmq.curve_keypair())
            _write_secret(path, {"public_key": public, "secret_key": secret})
        public_keys[service] = key_pair(path, path.read_text())["public_key"]
    file = MeshKeys(environment=config.environment, public_keys=public_keys)
    _write_if_changed(paths.mesh_file, file.model_dump_json(indent=2) + "\n")


def _new_account(paths: Paths, number: int, name: str, role: Role, server_key: str) -> Account:
    public, key = new_key(name, server_key)
    _write_secret(paths.key_file(name), key)
    return Account(id=number, name=name, role=role, public_key=public)


def new_key(account: str, server_key: str) -> tuple[str, dict[str, str]]:
    """(public key, content of the account's key file)."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    key = {"account": account, "public_key": public, "secret_key": secret}
    return public, {**key, "server_key": server_key}


def write_accounts(config: Config, accounts: list[Account]) -> None:
    """Replace the accounts file; services that run see it."""
    # unset limits stay unset: they then follow the configuration
    file = Accounts(environment=config.environment, accounts=accounts)
    text = file.model_dump_json(indent=2, exclude_unset=True)
    replace(Paths(config).accounts_file, text + "\n")


def _write_secret(path: Path, value: dict[str, str]) -> None:
    replace(path, json.dumps(value, indent=2) + "\n")


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        replace(path, text)
