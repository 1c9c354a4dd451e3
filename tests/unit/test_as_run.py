"""What runs keeps the configuration that it was started or reloaded with, whatever else is done."""

import json
from pathlib import Path
from typing import Any

import pytest
from rtes.common.config import Config, ConfigError, load, resolve, running
from rtes.common.paths import Paths
from rtes.control.desk import Desk, local_identity
from rtes.control.operations import SHARED
from rtes.control.run import secrets_of, take
from rtes.control.setup import setup, write_config


def profile(directory: Path, **sections: Any) -> Path:
    """Write, or edit, a configuration file."""
    file = directory / "profile.json"
    tree = {"environment": "dev", "mesh": {"run_dir": str(directory / "run")}, **sections}
    file.write_text(json.dumps(tree))
    return file


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Of a control server that was started before a reload."""
    exchange = {"control_port": 8100}
    file = profile(tmp_path, exchange=exchange)
    config = load(file, {})
    setup(config)
    served = Desk(config, SHARED, str(file), served=True)
    profile(tmp_path, exchange=exchange, risk={"order_qty_max": 77})
    changed = served.perform(local_identity(), "config reload", {})
    assert {path: after for path, (_, after) in changed.items()} == {"risk.order_qty_max": 77}
    return served


def started(desk: Desk) -> Config:
    return load(desk.paths.config_file, {})


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [("participants add", {"name": "ALICE"}), ("access key", {"name": "bob"})],
)
def test_an_operation_does_not_undo_a_reload(
    desk: Desk, operation: str, arguments: dict[str, str]
) -> None:
    before = desk.paths.config_file.stat()
    desk.perform(local_identity(), operation, arguments)
    assert desk.paths.config_file.stat() == before
    assert started(desk).risk.order_qty_max == 77


@pytest.mark.parametrize(
    ("operation", "name"), [("participants add", "ALICE"), ("participants limits", "DEMO1")]
)
def test_limits_of_its_own_begin_with_the_reloaded_ones(
    desk: Desk, operation: str, name: str
) -> None:
    arguments = {"name": name, "limits": {"open_orders_max": 5}}
    row = desk.perform(local_identity(), operation, arguments)
    assert row["limits"]["order_qty_max"] == 77
    assert row["limits"]["open_orders_max"] == 5


def test_who_adds_before_the_first_start_is_told_what_is_missing(tmp_path: Path) -> None:
    desk = Desk(load(profile(tmp_path), {}), SHARED)
    with pytest.raises(ValueError, match="rtes setup makes it"):
        desk.perform(local_identity(), "participants add", {"name": "ALICE"})
    assert not desk.paths.accounts_file.exists()


def test_a_program_that_is_restarted_takes_what_was_started(tmp_path: Path) -> None:
    first = take(load(profile(tmp_path), {}), "supervisor 1")
    edited = load(profile(tmp_path, risk={"order_qty_max": 77}), {})
    assert take(edited, "supervisor 1").risk == first.risk
    assert running(str(tmp_path / "profile.json"), {}).risk == first.risk
    assert take(edited, "supervisor 2").risk.order_qty_max == 77  # the whole is started anew
    assert running(str(tmp_path / "profile.json"), {}).risk.order_qty_max == 77


def test_a_program_that_is_restarted_takes_what_was_reloaded(tmp_path: Path) -> None:
    take(load(profile(tmp_path), {}), "supervisor 1")
    reloaded = load(profile(tmp_path, risk={"order_qty_max": 77}), {})
    write_config(reloaded)
    assert take(load(profile(tmp_path), {}), "supervisor 1").risk.order_qty_max == 77


def test_an_edit_that_would_be_refused_does_not_keep_a_program_down(tmp_path: Path) -> None:
    config = take(load(profile(tmp_path), {}), "supervisor 1")
    run_dir = Paths(config).run_dir
    (run_dir / "journal" / "0").mkdir(parents=True)  # it has traded
    mesh = {"run_dir": str(run_dir), "matcher_shards": 2}
    edited = load(profile(tmp_path, mesh=mesh), {})
    assert take(edited, "supervisor 1").mesh.matcher_shards == 1
    with pytest.raises(ConfigError, match="matcher_shards"):
        take(edited, "supervisor 2")


def test_secrets_of_the_file_reach_the_services(tmp_path: Path) -> None:
    file = profile(tmp_path, security={"http_token": "hidden"})
    write_config(take(load(file, {}), "supervisor 1"))
    handed_on = secrets_of(resolve(file, {}))
    assert handed_on == {"RTES__SECURITY__HTTP_TOKEN": "hidden"}
    token = load(tmp_path / "run" / "config.json", handed_on).security.http_token
    assert token is not None
    assert token.get_secret_value() == "hidden"
    overridden = resolve(file, {"RTES_security.http_token": "other"})
    assert secrets_of(overridden) == {}  # who overrides hands it on already
