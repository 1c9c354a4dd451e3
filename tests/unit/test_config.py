"""The configuration: what ships is valid, overrides win, every error says what to change."""

import json
from pathlib import Path

import pytest
from rtes.common.config import ConfigError, load, running
from rtes.common.refdata import Account, Limits, load_instruments
from rtes.control.setup import setup

NONE: dict[str, str] = {}


def write(directory: Path, **sections: object) -> Path:
    path = directory / "config.json"
    tree = {"environment": "dev", "mesh": {"run_dir": str(directory / "run")}, **sections}
    path.write_text(json.dumps(tree))
    return path


def test_a_file_that_cannot_be_read_does_not_hide_what_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtes.common.config.checkout", lambda: tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "config.dev.json").write_text("{ broken")
    with pytest.raises(ConfigError) as never:
        running("dev", NONE)
    started = tmp_path / "var" / "dev" / "config.json"
    started.parent.mkdir(parents=True)
    write(started.parent)
    with pytest.raises(ConfigError) as found:
        running("dev", NONE)
    hint = f"; what was started is there: --profile {started}"
    assert str(found.value) == str(never.value) + hint
    assert running(str(started), NONE).environment == "dev"


@pytest.mark.parametrize("profile", ["dev", "staging", "prod"])
def test_the_profiles_are_valid(profile: str) -> None:
    config = load(profile, NONE)
    assert config.environment == profile
    assert config.mesh.run_dir.is_absolute()
    assert load_instruments(config.exchange.instruments).instruments
    assert config.security.curve


def test_dev_listens_where_others_rely_on() -> None:
    ports = load("dev", NONE).exchange.ports
    assert ports == {
        "orders": 8888,
        "market data": 9999,
        "market data snapshots": 10000,
        "http": 8080,
    }


def test_durable_by_default_where_it_matters() -> None:
    assert load("dev", NONE).journal.durability == "never"
    assert load("staging", NONE).journal.durability == "always"
    assert load("prod", NONE).journal.durability == "always"


def test_the_instruments_differ_in_tick_and_lot() -> None:
    instruments = load_instruments(load("dev", NONE).exchange.instruments).instruments
    assert {"AAPL", "MSFT", "GOOGL", "TSLA"} <= {i.symbol for i in instruments}
    assert len({(i.min_price_increment, i.lot_size) for i in instruments}) > 1


def test_long_environment_names_are_taken() -> None:
    assert load("production", NONE).environment == "prod"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, exchange={"tcp_port": 5000})
    config = load(path, {"RTES__EXCHANGE__TCP_PORT": "6000", "RTES__CORES__RISK": "[0]"})
    assert config.exchange.tcp_port == 6000
    assert config.cores.risk == [0]


def test_one_offset_moves_every_port(tmp_path: Path) -> None:
    path = write(tmp_path)
    moved = load(path, {"RTES__EXCHANGE__PORT_OFFSET": "100"}).exchange
    plain = load(path, NONE).exchange
    assert moved.ports == {what: port + 100 for what, port in plain.ports.items()}
    assert moved.orders_endpoint == "tcp://127.0.0.1:8988"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RTES__EXCHANGE__TCP_PRT", "1", "did you mean RTES__EXCHANGE__TCP_PORT"),
        ("RTES__EXCHANGE__TCP_PORT", "x", "RTES__EXCHANGE__TCP_PORT: exchange.tcp_port = 'x'"),
        ("RTES__EXCHANGE__TCP_PORT", "80", "greater than or equal to 1024"),
        ("RTES__EXCHANGE__TCP_PORT", "8080", "two of the ports are equal"),
        ("RTES__EXCHANGE__PORT_OFFSET", "50001", "less than or equal to 50000"),
        ("RTES__EXCHANGE__TCP_PORT", "70000", "less than or equal to 65535"),
        ("RTES__CORES__RISK", "[1", "not JSON"),
        ("RTES__JOURNAL__DURABILITY", "maybe", "'always', 'interval' or 'never'"),
    ],
)
def test_a_bad_override_is_named(tmp_path: Path, name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(write(tmp_path), {name: value})


def test_an_offset_that_leaves_no_port_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, exchange={"tcp_port": 60_000})
    with pytest.raises(ConfigError, match="port_offset 9000 moves a port beyond 65535"):
        load(path, {"RTES__EXCHANGE__PORT_OFFSET": "9000"})


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, exchange={"tcp_port": 5000, "colour": "red"})
    with pytest.raises(ConfigError, match=r"config\.json: exchange\.colour = 'red'"):
        load(path, NONE)
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json: not JSON"):
        load(path, NONE)
    path.write_text("[]")
    with pytest.raises(ConfigError, match="must be a JSON object"):
        load(path, NONE)
    with pytest.raises(ConfigError, match="profiles are dev, staging, prod"):
        load(tmp_path / "none.json", NONE)


def test_it_is_frozen() -> None:
    config = load("dev", NONE)
    with pytest.raises(ValueError, match="frozen"):
        config.exchange.tcp_port = 1


def test_the_day_ends_where_it_says() -> None:
    exchange = load("dev", {"RTES__EXCHANGE__DAY_END_UTC": "21:30"}).exchange
    assert exchange.day_end_ns == (21 * 60 + 30) * 60 * 10**9


def test_an_account_has_its_own_limits_or_the_configurations(tmp_path: Path) -> None:
    config = load(write(tmp_path, risk={"order_qty_max": 7}), NONE)
    own = Limits(order_qty_max=9)
    assert config.limits_of(Account(id=1, name="A")).order_qty_max == 7
    assert config.limits_of(Account(id=1, name="A", limits=own)) == own


def test_a_client_finds_a_mesh_that_was_started_with_overrides(tmp_path: Path) -> None:
    here = {"RTES__MESH__RUN_DIR": str(tmp_path / "run")}
    assert running("dev", here).exchange.tcp_port == 8888
    setup(load("dev", {**here, "RTES__EXCHANGE__PORT_OFFSET": "77"}))
    assert running("dev", here).exchange.orders_endpoint == "tcp://127.0.0.1:8965"
