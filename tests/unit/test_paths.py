"""Run-time state: sockets fit the kernel's limit, directories are private, setup is repeatable."""

import json
import threading
from pathlib import Path

import pytest
import zmq
from rtes.common.config import Config, load
from rtes.common.enums import Role
from rtes.common.paths import SOCKET_PATH_BYTES_MAX, Paths
from rtes.common.refdata import load_accounts
from rtes.control.caller import perform
from rtes.control.setup import bot_names, setup


def config_in(run_dir: Path, profile: str = "dev") -> Config:
    return load(profile, {"RTES__MESH__RUN_DIR": str(run_dir)})


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_everything_is_under_the_run_directory(tmp_path: Path) -> None:
    paths = Paths(config_in(tmp_path))
    assert paths.journal_dir(3).is_relative_to(tmp_path)
    assert paths.keys_dir.is_relative_to(tmp_path)
    assert paths.accounts_file.is_relative_to(tmp_path)


def test_a_long_path_still_gives_sockets(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    paths = Paths(config_in(deep))
    other = Paths(config_in(deep / "y"))
    assert len(paths.socket("matcher255").removeprefix("ipc://")) <= SOCKET_PATH_BYTES_MAX
    assert paths.socket("health") != other.socket("health")
    paths.prepare()
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.bind(paths.socket("health"))
    paths.clean()
    assert not paths.socket_dir.exists()


def test_a_short_path_keeps_its_sockets() -> None:
    assert Paths(config_in(Path("/srv/rtes"))).socket("health") == "ipc:///srv/rtes/sock/health"


def test_a_socket_name_has_a_limit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="longer than"):
        Paths(config_in(tmp_path)).socket("x" * 50)


def test_someone_elses_socket_directory_is_refused(tmp_path: Path) -> None:
    paths = Paths(config_in(tmp_path / ("x" * 120)))
    (tmp_path / "trap").mkdir()
    paths.socket_dir.symlink_to(tmp_path / "trap")
    try:
        with pytest.raises(PermissionError, match="remove it"):
            paths.prepare()
    finally:
        paths.socket_dir.unlink()


def test_setup_makes_accounts_and_private_keys(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    made = setup(config)
    paths = Paths(config)
    accounts = load_accounts(paths.accounts_file).accounts
    assert made == [a.name for a in accounts]
    assert made == [*(f"DEMO{i}" for i in range(1, 5)), "OPS", *bot_names(config)]
    assert [a.name for a in accounts if a.role is Role.OPERATOR] == ["OPS"]
    server = json.loads(paths.key_file("gateway").read_text())
    for account in accounts:
        path = paths.key_file(account.name)
        key = json.loads(path.read_text())
        assert key["account"] == account.name
        assert key["public_key"] == account.public_key
        assert zmq.curve_public(key["secret_key"].encode()).decode() == account.public_key
        assert key["server_key"] == server["public_key"]
        assert mode(path) == 0o600
    assert mode(paths.keys_dir) == 0o700


def test_setup_again_changes_nothing(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    setup(config)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert setup(config) == []
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_adding_an_account_keeps_edited_limits(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    setup(config)
    path = Paths(config).accounts_file
    tree = json.loads(path.read_text())
    tree["accounts"][0]["limits"] = {"order_qty_max": 5}
    path.write_text(json.dumps(tree))
    perform(config, "participants add", {"name": "ALICE"})
    assert setup(config) == []
    accounts = {a.name: a for a in load_accounts(path).accounts}
    assert accounts["DEMO1"].limits.order_qty_max == 5
    assert accounts["ALICE"].id == max(a.id for a in accounts.values())
    assert config.limits_of(accounts["ALICE"]) == config.risk


def test_services_may_set_up_at_once(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    made: list[list[str]] = []
    threads = [threading.Thread(target=lambda: made.append(setup(config))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(names) for names in made)[:3] == [0, 0, 0]


def test_prod_has_no_demonstration_accounts(tmp_path: Path) -> None:
    assert setup(config_in(tmp_path, "prod")) == ["OPS"]
