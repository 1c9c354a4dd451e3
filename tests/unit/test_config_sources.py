"""Where a setting's value comes from: both spellings of an override, what wins over what, what is
nobody's, what prod refuses, and what is never shown.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rtes.client.cli import cli
from rtes.common.config import MASK, PROFILES, ConfigError, checkout, load, resolve
from rtes.common.config_env import read_environment, shell_name
from rtes.common.config_schema import fields, is_secret, json_schema
from rtes.common.secrets import KeyRing
from rtes.control import config_docs
from rtes.control.setup import setup
from rtes.control.start import export_settings

KEY = {"RTES_ENCRYPTION_KEY_k1": "00112233445566778899aabbccddeeff" * 2}
PORT = "exchange.tcp_port"


def write(directory: Path, environment: str = "dev", **sections: object) -> Path:
    path = directory / "config.json"
    mesh = {"run_dir": str(directory / "run")}
    path.write_text(json.dumps({"environment": environment, "mesh": mesh, **sections}))
    return path


def prod(directory: Path, **security: object) -> Path:
    return write(directory, "prod", security={"tls": True, **security})


def rtes(*arguments: str, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, env=environ, prog_name="rtes")


@pytest.mark.parametrize(
    "name",
    [
        "RTES_exchange.tcp_port_PROD",
        "RTES_exchange.tcp_port",
        "RTES_EXCHANGE.TCP_PORT_production",
        "RTES__EXCHANGE__TCP_PORT__PROD",
        "RTES__EXCHANGE__TCP_PORT",
        "RTES__exchange__tcp_port__PRODUCTION",
    ],
)
def test_every_spelling_of_an_override(tmp_path: Path, name: str) -> None:
    assert load(prod(tmp_path), {name: "9999"} | {shell_name("exchange.market_data_port"): "7000"}
                ).exchange.tcp_port == 9999  # fmt: skip


@pytest.mark.parametrize(
    "name", ["RTES_exchange.tcp_port_DEV", "RTES__EXCHANGE__TCP_PORT__STAGING"]
)
def test_another_environments_suffix_counts_for_nothing(tmp_path: Path, name: str) -> None:
    assert load(prod(tmp_path), {name: "9000"}).exchange.tcp_port == 8888


def test_two_values_for_one_setting_name_both(tmp_path: Path) -> None:
    environ = {"RTES_exchange.tcp_port_PROD": "9000", "RTES__EXCHANGE__TCP_PORT": "9001"}
    with pytest.raises(ConfigError, match=r"RTES_exchange.tcp_port_PROD and RTES__EXCHANGE__TCP_"):
        load(prod(tmp_path), environ)
    assert load(prod(tmp_path), dict.fromkeys(environ, "9000")).exchange.tcp_port == 9000


def test_the_guides_overrides(tmp_path: Path) -> None:
    environ = {
        "RTES_exchange.tcp_port_PROD": "8888",
        "RTES_risk.order_qty_max_PROD": "10000000",
        "RTES_security.log_level_PROD": "INFO",
        "RTES_TLS_CERT_FILE": "/etc/rtes/certs/server.crt",
        "RTES_TLS_KEY_FILE": "/etc/rtes/certs/server.key",
        "RTES_ENCRYPTION_KEY_prod_key_2024": "0123456789abcdef" * 4,
        "RTES_ENVIRONMENT": "production",
    }
    config = load(prod(tmp_path), environ)
    assert config.risk.order_qty_max == 10_000_000
    assert config.security.log_level == "INFO"
    assert str(config.security.tls_cert_file) == "/etc/rtes/certs/server.crt"


def test_what_kubernetes_injects_is_no_override(tmp_path: Path) -> None:
    noise = {
        "RTES_PORT": "tcp://10.0.0.1:8888",
        "RTES_SERVICE_HOST": "10.0.0.1",
        "RTES_SERVICE_PORT": "8888",
        "RTES_SERVICE_PORT_ORDERS": "8888",
        "RTES_PORT_8888_TCP": "tcp://10.0.0.1:8888",
        "RTES_PORT_8888_TCP_PROTO": "tcp",
        "RTES_PORT_8888_TCP_ADDR": "10.0.0.1",
        "RTES_GATEWAY_PORT": "tcp://10.0.0.1:8888",
        "RTES_GATEWAY_SERVICE_HOST": "10.0.0.1",
        "RTES_GATEWAY_PORT_8888_TCP_PORT": "8888",
    }
    found = resolve(prod(tmp_path), noise)
    assert found.config.exchange.tcp_port == 8888
    assert found.warnings == []


def test_an_unknown_name_is_an_error_in_prod_and_a_warning_in_dev(tmp_path: Path) -> None:
    environ = {"RTES_TLS_CERT_FIL": "/x"}
    with pytest.raises(ConfigError, match="did you mean RTES_TLS_CERT_FILE"):
        load(prod(tmp_path), environ)
    assert "RTES_TLS_CERT_FIL" in resolve(write(tmp_path), environ).warnings[0]
    with pytest.raises(ConfigError, match=r"did you mean RTES_exchange\.tcp_port"):
        load(write(tmp_path), {"RTES_exchange.tcp_prt_DEV": "1"})


def test_no_setting_ends_like_a_suffix() -> None:
    assert not [p for p in fields() if p.lower().rsplit("_", 1)[-1] in PROFILES]
    assert len({p.lower() for p in fields()}) == len(fields())


def test_command_line_over_environment_over_file_over_default(tmp_path: Path) -> None:
    path = write(tmp_path, exchange={"tcp_port": 5000})
    environ = {"RTES__EXCHANGE__TCP_PORT": "6000"}
    found = resolve(path, environ, [f"{PORT}=7000"])
    assert found.config.exchange.tcp_port == 7000
    kinds = [s.kind for s in found.sources[PORT]]
    assert kinds == ["command line", "environment", "file", "default"]
    with pytest.raises(ConfigError, match=r"--set exchange.tcp_prt .*did you mean exchange.tcp_po"):
        resolve(path, {}, ["exchange.tcp_prt=1"])
    with pytest.raises(ConfigError, match="PATH=VALUE"):
        resolve(path, {}, ["nonsense"])


def test_explain_says_who_won_and_what_was_hidden(tmp_path: Path) -> None:
    path = str(write(tmp_path, exchange={"tcp_port": 5000}))
    told = rtes("config", "explain", PORT, "--profile", path,
                environ={"RTES__EXCHANGE__TCP_PORT": "6000"})  # fmt: skip
    assert told.stdout.splitlines() == [
        "exchange.tcp_port = 6000",
        '  used    environment RTES__EXCHANGE__TCP_PORT = "6000"',
        f"  hidden  file {path} = 5000",
        "  hidden  default = 8888",
    ]
    wrong = rtes("config", "explain", "exchange.tcp_prt", "--profile", path)
    assert wrong.exit_code == 1
    assert "did you mean exchange.tcp_port?" in wrong.stderr


def test_diff(tmp_path: Path) -> None:
    path = str(write(tmp_path, exchange={"tcp_port": 5000}))
    told = rtes("config", "diff", "dev", "--profile", path, "--json")
    assert json.loads(told.stdout)[PORT] == [5000, 8888]
    assert rtes("config", "diff", path, "--profile", path).stdout == f"no difference to {path}\n"


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"security": {"tls": False}}, "security.tls is off: prod needs it on"),
        ({"security": {"tls": True, "curve": False}}, "security.curve is off: prod needs it on"),
        (
            {"security": {"tls": True}, "journal": {"durability": "never"}},
            "journal.durability is never: prod needs always or interval",
        ),
        (
            {"security": {"tls": True}, "cores": {"matcher": [0], "risk": [0]}},
            "cores.risk shares core 0 with cores.matcher",
        ),
    ],
)
def test_what_prod_refuses_and_dev_does_not(
    tmp_path: Path, sections: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        load(write(tmp_path, "prod", **sections), {})
    assert load(write(tmp_path, **sections), {}).environment == "dev"


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"risk": {"order_qty_max": 8, "position_max": 7}}, "no such order could be taken"),
        ({"risk": {"notional_max": 8, "credit_max": 7}}, "no such order could be taken"),
        ({"cores": {"risk": [1, 1]}}, "cores.risk names core 1 twice"),
        ({"security": {"tls_cert_file": "a"}}, "tls_cert_file and tls_key_file go together"),
        ({"exchange": {"host": "0.0.0.0"}, "security": {"curve": False}}, "anybody could trade"),
        ({"session": {"credit": 20_000}}, "less than or equal to 16384"),
        ({"exchange": {"tcp_prt": 1}}, "no such setting; did you mean exchange.tcp_port"),
        ({"exchang": {}}, "no such setting; did you mean exchange"),
        ({"exchange": 5}, "exchange: Input should be a valid dictionary"),
    ],
)
def test_fields_that_do_not_agree(tmp_path: Path, sections: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(write(tmp_path, **sections), {})


def test_secrets_are_masked_everywhere(tmp_path: Path) -> None:
    path = write(tmp_path, security={"tls_key_passphrase": "hunter2"})
    for command in (["show"], ["explain", "security.tls_key_passphrase"], ["diff", "dev"]):
        told = rtes("config", *command, "--profile", str(path))
        assert MASK in told.stdout
        assert "hunter2" not in told.stdout
    setup(load(path, {}))
    assert "hunter2" not in (tmp_path / "run" / "config.json").read_text()
    assert "hunter2" not in repr(load(path, {}))
    path = write(tmp_path, security={"tls_key_passphrase": ["hunter2"]})
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert "hunter2" not in str(caught.value)


def test_an_encrypted_value_is_masked_in_errors_too(tmp_path: Path) -> None:
    envelope = KeyRing.of(KEY).encrypt(8080, "dev", PORT, "k1")
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, exchange={"tcp_port": envelope}), KEY)
    assert "two of the ports are equal" in str(caught.value)
    assert "8080" not in str(caught.value)
    bad = KeyRing.of(KEY).encrypt("hunter2", "dev", PORT, "k1")
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path), {**KEY, "RTES__EXCHANGE__TCP_PORT": bad})
    assert f"RTES__EXCHANGE__TCP_PORT: exchange.tcp_port = {MASK}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_schema_beside_the_files_is_the_schema() -> None:
    shipped = checkout() / "configs" / "config.schema.json"
    assert json.loads(shipped.read_text()) == json_schema(), "rtes config schema > " + str(shipped)
    for profile in ("dev", "staging", "prod"):
        file = checkout() / "configs" / f"config.{profile}.json"
        assert json.loads(file.read_text())["$schema"] == shipped.name
    assert rtes("config", "schema").stdout == shipped.read_text()


def test_there_is_a_secret() -> None:
    assert "security.tls_key_passphrase" in [p for p, f in fields().items() if is_secret(f)]


def test_environment_must_be_one() -> None:
    assert read_environment({"PATH": "/bin", "RTES_ENVIRONMENT": "prod"}, "prod").by_path == {}


def test_a_setting_of_the_command_line_replaces_every_override(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RTES_exchange.tcp_port_DEV", "9000")
    monkeypatch.setenv("RTES__EXCHANGE__TCP_PORT", "9000")
    export_settings(["exchange.tcp_port=9001", "cores.risk=[0]"], "dev")
    try:
        config = load("dev")
        assert (config.exchange.tcp_port, config.cores.risk) == (9001, [0])
    finally:
        del os.environ["RTES__EXCHANGE__TCP_PORT"], os.environ["RTES__CORES__RISK"]


def test_the_page_of_settings_is_the_schemas() -> None:
    page = (checkout() / config_docs.PAGE).read_text()
    assert page == config_docs.page_with_settings(page), "run python -m rtes.control.config_docs"
    assert all(f"| `{path}` |" in page for path in fields())


def test_check_looks_at_what_the_configuration_names(tmp_path: Path) -> None:
    instruments = tmp_path / "instruments.json"
    exchange = {"instruments": str(instruments)}
    path = str(write(tmp_path, exchange=exchange))
    assert f"{instruments}: No such file" in rtes("config", "check", "--profile", path).stderr
    listed = [{"symbol": "AAPL", "reference_price": 1, "shard": 2}]
    instruments.write_text(json.dumps({"instruments": listed}))
    told = rtes("config", "check", "--profile", path).stderr
    assert "AAPL is on matcher shard 2, but mesh.matcher_shards is 1" in told
    instruments.write_text(json.dumps({"instruments": []}))
    files = {"tls": True, "tls_cert_file": "/none.crt", "tls_key_file": "/none.key"}
    path = str(write(tmp_path, exchange=exchange, security=files))
    assert "/none.crt: No such file" in rtes("config", "check", "--profile", path).stderr
    path = str(write(tmp_path, exchange=exchange))
    setup(load(path, {}))
    assert rtes("config", "check", "--profile", path).exit_code == 0
    path = str(write(tmp_path, "prod", exchange=exchange, security={"tls": True}))
    assert "holds keys made for dev" in rtes("config", "check", "--profile", path).stderr
