"""Several of each service: their ports, their programs, and symbols that stay where they traded."""

import json
import sys
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
from rtes.client.marketdata import sources_of
from rtes.common.config import Config, ConfigError, checkout, load
from rtes.common.messages import SecurityList
from rtes.common.refdata import load_instruments
from rtes.common.service import check_instance
from rtes.control.run import command
from rtes.control.setup import setup
from rtes.control.shards import RECORD, instance_of, program_name, supervisor_file
from rtes.services.health.core import expected_services


def instruments(tmp_path: Path, **shards: int | None) -> Path:
    rows = [
        {"symbol": symbol, "reference_price": 1} | ({} if shard is None else {"shard": shard})
        for symbol, shard in shards.items()
    ]
    path = tmp_path / "instruments.json"
    path.write_text(json.dumps({"instruments": rows}))
    return path


def config_of(tmp_path: Path, exchange: Any = None, **mesh: int) -> Config:
    path = tmp_path / "config.json"
    tree = {"environment": "dev", "mesh": {"run_dir": str(tmp_path / "run"), **mesh},
            "exchange": exchange or {}}  # fmt: skip
    path.write_text(json.dumps(tree))
    return load(path, {})


# ---------------------------------------------------------------- symbols


def test_instruments_are_dealt_out_unless_they_name_their_shard(tmp_path: Path) -> None:
    path = instruments(tmp_path, A=None, B=None, C=0, D=None)
    shards = {i.symbol: i.shard for i in load_instruments(path, 2).instruments}
    assert shards == {"A": 0, "B": 1, "C": 0, "D": 1}
    assert {i.shard for i in load_instruments(path, 1).instruments} == {0}


def test_shards_and_instruments_must_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"B is on matcher shard 2, but mesh.matcher_shards is 2"):
        load_instruments(instruments(tmp_path, A=0, B=2), 2)
    with pytest.raises(ValueError, match="no instrument is on matcher shard 1"):
        load_instruments(instruments(tmp_path, A=0, B=0), 2)


def test_what_has_traded_stays_on_its_shard(tmp_path: Path) -> None:
    exchange = {"instruments": str(instruments(tmp_path, A=None, B=None))}
    setup(config_of(tmp_path, exchange))
    setup(config_of(tmp_path, exchange, matcher_shards=2))  # nothing has traded yet
    for shard in ("0", "1"):
        (tmp_path / "run" / "journal" / shard).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"traded with mesh.matcher_shards 2, and it is 1 now"):
        setup(config_of(tmp_path, exchange))
    instruments(tmp_path, B=None, A=None)
    with pytest.raises(ConfigError, match=r'A has traded on matcher shard 0.*give it "shard": 0'):
        setup(config_of(tmp_path, exchange, matcher_shards=2))
    instruments(tmp_path, B=1, A=0, C=None)
    setup(config_of(tmp_path, exchange, matcher_shards=2))
    record = json.loads((tmp_path / "run" / RECORD).read_text())
    assert record == {"matcher_shards": 2, "symbols": {"A": 0, "B": 1, "C": 0}}


def test_what_has_traded_stays_listed(tmp_path: Path) -> None:
    exchange = {"instruments": str(instruments(tmp_path, A=None, B=None, C=None))}
    setup(config_of(tmp_path, exchange))
    instruments(tmp_path, A=None, B=None)
    setup(config_of(tmp_path, exchange))  # nothing has traded yet
    (tmp_path / "run" / "journal" / "0").mkdir(parents=True)
    instruments(tmp_path, A=None)
    with pytest.raises(ConfigError, match=r"^B has traded in .*kill halt --symbol B"):
        setup(config_of(tmp_path, exchange))
    record = json.loads((tmp_path / "run" / RECORD).read_text())
    assert record["symbols"] == {"A": 0, "B": 0}


def test_a_mesh_of_a_release_without_a_record_keeps_its_count(tmp_path: Path) -> None:
    (tmp_path / "run" / "journal" / "0").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"traded with mesh.matcher_shards 1, and it is 2 now"):
        setup(config_of(tmp_path, matcher_shards=2))
    setup(config_of(tmp_path))


# ---------------------------------------------------------------- ports


def test_ports_follow_from_the_number(tmp_path: Path) -> None:
    config = config_of(tmp_path, {"port_offset": 100}, gateways=3, matcher_shards=2)
    assert config.ports == {
        "orders": 8988, "orders 1": 8989, "orders 2": 8990, "http": 8180,
        "market data": 10_099, "market data snapshots": 10_100,
        "market data 1": 10_101, "market data snapshots 1": 10_102,
    }  # fmt: skip
    assert config.exchange.instance(2).orders_endpoint == "tcp://127.0.0.1:8990"
    ends = ["tcp://127.0.0.1:10099", "tcp://127.0.0.1:10101"]
    assert config.market_data_endpoints == ends


@pytest.mark.parametrize(
    ("exchange", "mesh", "says"),
    [
        ({"http_port": 8889}, {"gateways": 2}, "8889 is for http and for orders 1"),
        ({"market_data_port": 8889}, {"gateways": 3},
         "8889 is for market data and for orders 1; .* 8890 is for market data snapshots and "),
        ({"market_data_port": 65_533}, {"matcher_shards": 3},
         "beyond 65535: market data snapshots 2 would be at 65538"),
        ({"tcp_port": 65_000, "port_offset": 534}, {"gateways": 3}, "orders 2 would be at 65536"),
        ({}, {"matcher_shards": 33}, "less than or equal to 32"),
        ({}, {"risk_shards": 33}, "less than or equal to 32"),
        ({}, {"gateways": 65}, "less than or equal to 64"),
    ],
)  # fmt: skip
def test_ports_that_cannot_be_are_named(
    tmp_path: Path, exchange: dict[str, int], mesh: dict[str, int], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        config_of(tmp_path, exchange, **mesh)


def row(symbol: str, endpoint: str) -> SecurityList:
    return SecurityList("", 1, symbol, 0, "0.01", "1", "USD", 1, 1, 1, 1_000, 100, endpoint)


def test_market_data_is_where_the_exchange_says() -> None:
    """Who bound every address of its host is found where the gateway was."""
    told = {"A": "tcp://0.0.0.0:9999", "B": "tcp://10.0.0.7:10001", "C": "tcp://0.0.0.0:9999"}
    listed = {symbol: row(symbol, endpoint) for symbol, endpoint in told.items()}
    assert sources_of(listed, ["A", "B", "C"], "tcp://gw.example:8888") == [
        ("tcp://gw.example:9999", "tcp://gw.example:10000", ["A", "C"]),
        ("tcp://10.0.0.7:10001", "tcp://10.0.0.7:10002", ["B"]),
    ]
    with pytest.raises(LookupError, match="D is not listed"):
        sources_of(listed, ["D"], "tcp://gw.example:8888")


# ---------------------------------------------------------------- programs


@pytest.mark.parametrize(("name", "number"), [("matcher", 0), ("matcher1", 1), ("gateway12", 12)])
def test_programs_are_named_by_service_and_number(name: str, number: int) -> None:
    service = name.rstrip("0123456789")
    assert instance_of(name) == (service, number)
    assert program_name(service, number) == name
    python = sys.executable
    module = f"rtes.services.{service}"
    arguments = [python, "-m", module, "--config", "/run/config.json", "--shard", str(number)]
    assert command(name, "dev", Path("/run/config.json")) == arguments


def test_one_of_each_runs_with_the_checkouts_own_file(tmp_path: Path) -> None:
    assert supervisor_file(config_of(tmp_path), checkout()) == checkout() / "supervisord.conf"


def test_several_run_like_the_first(tmp_path: Path) -> None:
    home = tmp_path / "100%"
    (home / "var").mkdir(parents=True)
    original = (checkout() / "supervisord.conf").read_text()
    (home / "supervisord.conf").write_text(original)
    config = config_of(tmp_path, gateways=3, matcher_shards=2)
    made = supervisor_file(config, home)
    parser = RawConfigParser()
    parser.read_string(made.read_text())
    before = RawConfigParser()
    before.read_string(original)
    further = ["gateway1", "gateway2", "matcher1", "archive1", "marketdata1", "snapshotter1"]
    assert parser.sections() == [*before.sections(), *(f"program:{name}" for name in further)]
    assert dict(parser["program:matcher1"]) == dict(parser["program:matcher"])
    assert "%(here)s" not in made.read_text()
    assert parser["program:matcher1"]["command"].startswith(f"{tmp_path}/100%%/.venv")


def test_an_instance_that_the_mesh_has_not_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, gateways=2)
    check_instance(config, "gateway", 1)
    for service, number in (("gateway", 2), ("matcher", 1), ("health", 1), ("risk", -1)):
        with pytest.raises(ConfigError, match=f"there is no {service} {number}"):
            check_instance(config, service, number)


def test_health_waits_for_every_instance(tmp_path: Path) -> None:
    expected = expected_services(config_of(tmp_path, gateways=3, risk_shards=2, matcher_shards=2))
    several = {"gateway": 3, "risk": 2} | dict.fromkeys(
        ("matcher", "archive", "marketdata", "snapshotter"), 2
    )
    assert set(expected) == {(s, n) for s, count in several.items() for n in range(count)}
