"""A damaged accounts file or key, or a secret that cannot be opened: one line, and which file."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rtes.client.cli import cli
from rtes.common.config import load
from rtes.common.paths import Paths
from rtes.control.run import EXIT_CONFIG
from rtes.control.setup import setup


def written(directory: Path, **sections: Any) -> Path:
    file = directory / "profile.json"
    tree = {"environment": "dev", "mesh": {"run_dir": str(directory / "run")}, **sections}
    file.write_text(json.dumps(tree))
    return file


def started(profile: Path) -> subprocess.CompletedProcess[str]:
    """As supervisord starts a program."""
    return subprocess.run(
        [sys.executable, "-m", "rtes.control.run", "archive"],
        env={**os.environ, "RTES_ENVIRONMENT": str(profile)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


ACCOUNTS = ("{", "[]", '{"accounts": [{"id": 0, "name": "A"}]}')


@pytest.mark.parametrize("text", ACCOUNTS)
@pytest.mark.parametrize("command", ["participants list", "config check"])
def test_damaged_accounts_are_named(tmp_path: Path, command: str, text: str) -> None:
    profile = written(tmp_path)
    config = load(profile, {})
    setup(config)
    file = Paths(config).accounts_file
    file.write_text(text)
    said = CliRunner().invoke(cli, [*command.split(), "--profile", str(profile)])
    assert (said.exit_code, len(said.stderr.splitlines())) == (1, 1)
    assert said.stderr.startswith(f"Error: {file}: ")


def test_a_damaged_key_of_the_exchange_is_named(tmp_path: Path) -> None:
    profile = written(tmp_path)
    config = load(profile, {})
    setup(config)
    file = Paths(config).key_file("gateway")
    file.write_text("{")
    said = CliRunner().invoke(cli, ["config", "check", "--profile", str(profile)])
    assert (said.exit_code, len(said.stderr.splitlines())) == (1, 1)
    assert said.stderr.startswith(f"Error: {file} does not hold a key pair")
    done = started(profile)
    assert (done.returncode, len(done.stderr.splitlines())) == (EXIT_CONFIG, 1)
    assert str(file) in done.stderr


def test_a_program_with_damaged_accounts_is_not_started_again_and_again(tmp_path: Path) -> None:
    profile = written(tmp_path)
    config = load(profile, {})
    setup(config)
    Paths(config).accounts_file.write_text("{")
    done = started(profile)
    assert (done.returncode, len(done.stderr.splitlines())) == (EXIT_CONFIG, 1)


def test_nor_is_one_whose_secret_cannot_be_opened(tmp_path: Path) -> None:
    sealed = f"ENC[v1,AES256_GCM,lost_key,{'A' * 16},{'A' * 32}]"
    done = started(written(tmp_path, security={"http_token": sealed}))
    assert (done.returncode, len(done.stderr.splitlines())) == (EXIT_CONFIG, 1)
    assert "lost_key" in done.stderr
