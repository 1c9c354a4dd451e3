"""Which sockets are files and which are ports, and what placements are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from rtes.common.config import ConfigError, load
from rtes.common.config_mesh import listener
from rtes.common.paths import Paths
from rtes.common.placement import WIRES, Placement
from rtes.common.secrets import SecretError
from rtes.common.wiring import Wiring
from rtes.control.hosts import export, prepare
from rtes.control.setup import setup

ONE = {"matcher": 1}
PLACED = {"gateway": "a", "risk": "b", "matcher": "c", "marketdata": "a", "health": "a"}


def config_file(directory: Path, **sections: Any) -> Path:
    file = directory / "config.json"
    mesh = {"run_dir": str(directory / "run"), **sections.pop("mesh", {})}
    file.write_text(json.dumps({"environment": "dev", "mesh": mesh, **sections}))
    return file


def refused(directory: Path, **sections: Any) -> str:
    with pytest.raises(ConfigError) as error:
        load(config_file(directory, **sections), {})
    return str(error.value)


def test_on_one_host_all_sockets_are_files(tmp_path: Path) -> None:
    for hosts in ({}, dict.fromkeys(PLACED, "a")):
        assert not Placement(hosts, ONE).several
        assert Placement(hosts, ONE).ports(7000) == {}
    wiring = Wiring(load(config_file(tmp_path), {}), "risk", 0)
    for address, curve in (wiring.bound("risk"), wiring.reached("feed", 0)):
        assert address.startswith("ipc://")
        assert curve is None


def test_a_socket_is_a_port_where_some_that_use_it_are_apart() -> None:
    assert [*Placement(PLACED, ONE).ports(7000)] == [f"{wire}0" for wire in WIRES]
    with_risk = Placement({**PLACED, "gateway": "b", "marketdata": "b", "health": "b"}, ONE)
    assert [*with_risk.ports(7000)] == ["health0", "feed0", "matcher0", "archive0"]


def test_shards_may_be_placed_one_by_one() -> None:
    two = {"gateway": 1, "matcher": 2, "archive": 2, "snapshotter": 2, "marketdata": 2, "risk": 1}
    placement = Placement({**PLACED, "matcher1": "d"}, two)
    assert placement.host("archive", 0) == "c"
    assert placement.host("snapshotter", 1) == "d"
    assert ("archive", 1) in placement.on("d")
    assert placement.ports(7000)["feed1"] == placement.ports(7000)["feed0"] + 10
    assert placement.binder("feed1") == ("matcher", 1)
    assert not [*placement.faults()]


@pytest.mark.parametrize(
    ("hosts", "says"),
    [
        ({"archive": "b"}, "places archive 0 on b and matcher 0 on c: both use one journal"),
        ({"snapshotter0": "b"}, "places snapshotter 0 on b and matcher 0 on c"),
        ({"risk1": "b"}, "mesh.hosts places risk1, and there is no such service"),
        ({"riks": "b"}, "mesh.hosts places riks"),
        ({"risk": "a b"}, "String should match pattern"),
        ({"risk": "tcp://a"}, "String should match pattern"),
    ],
)
def test_bad_placements_are_refused(tmp_path: Path, hosts: dict[str, str], says: str) -> None:
    assert says in refused(tmp_path, mesh={"hosts": {**PLACED, **hosts}})


def test_a_service_without_a_host_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, mesh={"hosts": {"matcher": "c", "risk": "b"}})
    assert "does not say where gateway 0, marketdata 0, health 0, control 0 is" in said


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_several_hosts_need_curve(tmp_path: Path, environment: str) -> None:
    file = config_file(tmp_path, mesh={"hosts": PLACED}, security={"curve": False, "tls": True})
    file.write_text(file.read_text().replace('"dev"', f'"{environment}"'))
    with pytest.raises(ConfigError, match="several hosts: without keys anybody between them"):
        load(file, {})


def test_ports_between_hosts_must_be_free_for_them(tmp_path: Path) -> None:
    said = refused(tmp_path, mesh={"hosts": PLACED, "base_port": 8888})
    assert "8888 is for orders and for health0" in said
    assert "beyond 65535" in refused(tmp_path, mesh={"hosts": PLACED, "base_port": 65_535})
    config = load(config_file(tmp_path, mesh={"hosts": PLACED}), {})
    assert {listener(what)[0] for what in config.ports} >= {"gateway", "marketdata", "matcher"}


def test_a_placed_service_is_reached_at_its_host(tmp_path: Path) -> None:
    placed = {**PLACED, "gateway": "10.0.0.1", "health": "10.0.0.2"}
    config = load(config_file(tmp_path, mesh={"hosts": placed}), {})
    assert config.serving("gateway").orders_endpoint == "tcp://10.0.0.1:8888"
    assert config.listening("gateway").orders_endpoint == "tcp://10.0.0.1:8888"
    assert config.listening("marketdata").market_data_endpoint == "tcp://0.0.0.0:9999"
    assert config.market_data_endpoints == ["tcp://a:9999"]
    assert config.http_url == "http://10.0.0.2:8080"


def test_each_host_gets_the_secret_keys_of_its_services_only(tmp_path: Path) -> None:
    config = load(config_file(tmp_path, mesh={"hosts": PLACED}), {})
    setup(config)
    file = tmp_path / "b.tar"
    names = export(config, "b", file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [n for n in names if n.startswith("keys/")] == ["keys/mesh@risk.json"]
    assert "keys/gateway.json" in export(config, "a", file)
    with pytest.raises(ConfigError, match="places nothing on z"):
        export(config, "z", file)
    for service in ("risk", "matcher"):
        assert Paths(config).key_file(f"mesh@{service}").stat().st_mode & 0o777 == 0o600


def test_keys_are_made_where_control_is_and_asked_for_elsewhere(tmp_path: Path) -> None:
    placed = {**dict.fromkeys(PLACED, "192.0.2.1"), "risk": "127.0.0.1"}
    config = load(config_file(tmp_path, mesh={"hosts": placed}), {})
    with pytest.raises(ConfigError, match=r"accounts.json is missing. On 192.0.2.1, .*export"):
        prepare(config)
    with pytest.raises(ConfigError, match=r"mesh.json: No such file or directory; rtes hosts"):
        Wiring(config, "risk", 0)


def test_a_service_needs_its_own_key_and_all_public_ones(tmp_path: Path) -> None:
    config = load(config_file(tmp_path, mesh={"hosts": PLACED}), {})
    setup(config)
    paths = Paths(config)
    key = paths.key_file("mesh@risk")
    key.chmod(0o640)
    with pytest.raises(SecretError, match="can be read by others"):
        Wiring(config, "risk", 0)
    key.chmod(0o600)
    key.write_text("{}")
    with pytest.raises(ConfigError, match="does not hold a key pair"):
        Wiring(config, "risk", 0)
    known = json.loads(paths.mesh_file.read_text())
    del known["public_keys"]["matcher"]
    paths.mesh_file.write_text(json.dumps(known))
    with pytest.raises(ConfigError, match="has no key of matcher"):
        Wiring(config, "gateway", 0)
