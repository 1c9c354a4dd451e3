"""Accounts and their CURVE keys: what `rtes setup` makes before the first start.

Only what is missing is made, so it may run at every start and by every service at once: a lock
orders them, and files appear whole by rename. Outside prod it makes the accounts that people and
bots try the exchange with. Secrets are mode 0600 in a directory of mode 0700.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import zmq
from rtes.common.config import Config
from rtes.common.enums import Role
from rtes.common.paths import Paths
from rtes.common.refdata import Account, Accounts, load_accounts
from rtes.control import certs
from rtes.control.files import locked, replace

SERVER: Final = "gateway"  # the key file of the exchange's own key pair
OPERATOR: Final = "OPS"
DEMO_COUNT: Final = 4
BOT_COUNT_MIN: Final = 40


def setup(config: Config, names: Sequence[str] = ()) -> list[str]:
    """Make directories, server key, accounts and keys that are missing; names are accounts to
    make besides the usual ones. Returns the names of the accounts made."""
    paths = Paths(config)
    paths.prepare()
    with locked(paths.run_dir / "setup.lock"):
        _write_if_changed(paths.config_file, config.without_secrets() + "\n")
        server_key = _server_key(paths)
        if config.security.tls and config.security.tls_cert_file is None:
            certs.init(config)
        known = _known_accounts(paths)
        have = {a.name: a for a in known}
        wanted = [*_usual(config), *((name, Role.PARTICIPANT) for name in names)]
        made: list[Account] = []
        next_id = max((a.id for a in known), default=0) + 1
        for name, role in wanted:
            if name not in have:
                have[name] = _new_account(paths, next_id + len(made), name, role, server_key)
                made.append(have[name])
        if made or not paths.accounts_file.exists():
            _write_accounts(paths, [*known, *made])
    return [a.name for a in made]


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


def _server_key(paths: Paths) -> str:
    path = paths.key_file(SERVER)
    if not path.exists():
        public, secret = zmq.curve_keypair()
        _write_secret(path, {"public_key": public.decode(), "secret_key": secret.decode()})
    return str(json.loads(path.read_text())["public_key"])


def _new_account(paths: Paths, number: int, name: str, role: Role, server_key: str) -> Account:
    public, secret = (key.decode() for key in zmq.curve_keypair())
    account = Account(id=number, name=name, role=role, public_key=public)
    key = {"account": name, "public_key": public, "secret_key": secret, "server_key": server_key}
    _write_secret(paths.key_file(name), key)
    return account


def _write_accounts(paths: Paths, accounts: list[Account]) -> None:
    # unset limits stay unset: they then follow the configuration
    text = Accounts(accounts=accounts).model_dump_json(indent=2, exclude_unset=True)
    replace(paths.accounts_file, text + "\n")


def _write_secret(path: Path, value: dict[str, str]) -> None:
    replace(path, json.dumps(value, indent=2) + "\n")


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        replace(path, text)
