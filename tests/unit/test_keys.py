"""Keys and rosters: prod takes no keys made elsewhere; a change of the accounts file is seen, and
a file that cannot be read undoes no revocation.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rtes.common.config import Config, ConfigError, load
from rtes.common.paths import Paths
from rtes.common.refdata import Account, Roster
from rtes.common.secrets import SecretError
from rtes.common.service import EXIT_CONFIG, server_key_pair
from rtes.control.setup import setup, write_accounts


def configured(directory: Path, environment: str) -> Config:
    path = directory / f"{environment}.json"
    mesh = {"run_dir": str(directory / "run")}
    tree = {"environment": environment, "mesh": mesh, "security": {"tls": environment == "prod"}}
    path.write_text(json.dumps(tree))
    return load(path, {})


def test_prod_takes_no_keys_that_were_made_for_dev(tmp_path: Path) -> None:
    setup(configured(tmp_path, "dev"))
    prod = configured(tmp_path, "prod")
    with pytest.raises(ConfigError, match=r"gateway\.json holds keys made for dev, and prod"):
        server_key_pair(prod)
    command = [sys.executable, "-m", "rtes.services.gateway", "--config", f"{tmp_path}/prod.json"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == EXIT_CONFIG
    assert "accounts.json holds keys made for dev" in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_prod_takes_its_own(tmp_path: Path) -> None:
    prod = configured(tmp_path, "prod")
    setup(prod)
    assert server_key_pair(prod)["environment"] == "prod"


def test_the_exchanges_key_must_be_private_and_there(tmp_path: Path) -> None:
    config = configured(tmp_path, "dev")
    with pytest.raises(ConfigError, match="rtes setup makes it"):
        server_key_pair(config)
    setup(config)
    Paths(config).key_file("gateway").chmod(0o644)
    with pytest.raises(SecretError, match="can be read by others; run: chmod 600"):
        server_key_pair(config)


def test_a_roster_follows_its_file(tmp_path: Path) -> None:
    config = configured(tmp_path, "dev")
    Paths(config).prepare()
    one = Account(id=1, name="ONE", public_key="k1")
    two = Account(id=2, name="TWO", public_key="k2")
    write_accounts(config, [one])
    file = Paths(config).accounts_file
    roster = Roster(file)
    assert (roster.knows("k1"), roster.knows("k2"), roster.find_id(2)) == (True, False, None)
    write_accounts(config, [one.model_copy(update={"revoked": True, "public_key": ""}), two])
    assert (roster.knows("k1"), roster.knows("k2"), roster.knows("")) == (False, True, False)
    assert roster.find("ONE") is None
    assert roster.find_id(2) == two
    assert not roster.refresh()


def test_a_file_that_cannot_be_read_undoes_no_revocation(tmp_path: Path) -> None:
    config = configured(tmp_path, "dev")
    Paths(config).prepare()
    write_accounts(config, [Account(id=1, name="ONE", public_key="", revoked=True)])
    file = Paths(config).accounts_file
    roster = Roster(file)
    for text in ("{", '{"accounts": 1}'):
        file.write_text(text)
        os.utime(file)
        assert not roster.knows("k1")
    file.unlink()
    assert not roster.knows("k1")
    assert roster.find("ONE") is None
