"""Encrypted values: what opens, what does not and what is said then; keys and their rotation."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rtes.client.cli import cli
from rtes.common.config import load
from rtes.common.secrets import Envelope, KeyRing, SecretError
from rtes.control.json_text import replace_values

OLD, NEW = "0123456789abcdef" * 4, "fedcba9876543210" * 4
BOTH = {"RTES_ENCRYPTION_KEY_old": OLD, "RTES_ENCRYPTION_KEY_new": NEW}
RING = KeyRing.of(BOTH)
PATH = "security.tls_key_passphrase"
SEALED = RING.encrypt("hunter2", "prod", PATH, "old")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def rtes(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(cli, arguments, env={**BOTH, **environ}, prog_name="rtes")


@given(JSON, st.sampled_from(["dev", "staging", "prod"]), st.text(max_size=20))
def test_what_is_encrypted_is_decrypted(value: object, environment: str, path: str) -> None:
    envelope = RING.encrypt(value, environment, path, "old")
    assert RING.decrypt(envelope, environment, path) == value
    assert str(Envelope.parse(envelope, path)) == envelope


@given(st.data())
def test_a_changed_envelope_never_opens(data: st.DataObject) -> None:
    envelope = SEALED
    at = data.draw(st.integers(0, len(envelope) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != envelope[at]))
    with pytest.raises(SecretError) as caught:
        RING.decrypt(envelope[:at] + other + envelope[at + 1 :], "prod", PATH)
    assert PATH in str(caught.value)
    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_no_text_is_taken_for_an_envelope(text: str) -> None:
    with pytest.raises(SecretError):
        RING.decrypt(f"ENC[{text}", "prod", PATH)


def test_no_two_envelopes_are_alike() -> None:
    assert len({RING.encrypt("x", "prod", PATH, "old") for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("environment", "path", "ring"),
    [
        ("staging", PATH, RING),
        ("prod", "exchange.host", RING),
        ("prod", PATH, KeyRing.of({"RTES_ENCRYPTION_KEY_old": NEW})),
    ],
)
def test_a_moved_value_does_not_open(environment: str, path: str, ring: KeyRing) -> None:
    envelope = RING.encrypt("hunter2", "prod", PATH, "old")
    with pytest.raises(SecretError, match=f"{path} does not open with key old"):
        ring.decrypt(envelope, environment, path)
    renamed = envelope.replace(",old,", ",new,")
    with pytest.raises(SecretError, match=f"{PATH} does not open with key new"):
        RING.decrypt(renamed, "prod", PATH)
    with pytest.raises(SecretError, match="needs key old: set RTES_ENCRYPTION_KEY_old"):
        KeyRing({}).decrypt(envelope, "prod", PATH)


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 33, "zz" * 32, "0x" + "ab" * 31, OLD + " "])
def test_a_key_is_64_hex_characters(text: str) -> None:
    with pytest.raises(SecretError, match=r"RTES_ENCRYPTION_KEY_k must be 64 hex .*openssl rand"):
        KeyRing.of({"RTES_ENCRYPTION_KEY_k": text})


def test_a_placeholder_is_no_key() -> None:
    with pytest.raises(SecretError, match="placeholder"):
        KeyRing.of({"RTES_ENCRYPTION_KEY_k": "00" * 32})


def test_a_key_may_be_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(OLD + "\n")
    file.chmod(0o640)
    environ = {"RTES_ENCRYPTION_KEY_FILE_old": str(file)}
    with pytest.raises(SecretError, match="can be read by others; run: chmod 600"):
        KeyRing.of(environ)
    file.chmod(0o600)
    assert KeyRing.of(environ).keys["old"].secret == bytes.fromhex(OLD)
    with pytest.raises(SecretError, match="different keys"):
        KeyRing.of({**environ, "RTES_ENCRYPTION_KEY_old": NEW})
    with pytest.raises(SecretError, match="No such file"):
        KeyRing.of({"RTES_ENCRYPTION_KEY_FILE_old": str(tmp_path / "none")})


def test_a_key_is_never_shown() -> None:
    assert OLD not in repr(RING.keys["old"])
    assert OLD not in rtes("keys", "list", "--json").stdout


@given(st.dictionaries(st.text(min_size=1), JSON, max_size=5), st.integers(0, 4), JSON)
def test_replacing_a_value_changes_nothing_else(
    section: dict[str, object], indent: int, value: object
) -> None:
    section = {name.replace(".", "_"): v for name, v in section.items()}
    text = json.dumps({"section": section, "list": [1]}, indent=indent or None)
    for name in section:
        edited = json.loads(replace_values(text, {f"section.{name}": value}))
        assert edited == {"section": {**section, name: value}, "list": [1]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    security = {"tls": True, "tls_key_passphrase": "hunter2"}
    tree = {"environment": "prod", "mesh": {"run_dir": str(tmp_path / "run")}, "security": security}
    path.write_text(json.dumps(tree, indent=3))
    return path


def passphrase(file: Path, **environ: str) -> str:
    secret = load(file, environ).security.tls_key_passphrase
    return secret.get_secret_value() if secret else ""


def test_a_file_is_encrypted_and_loads_the_same(file: Path) -> None:
    before = file.read_text()
    told = rtes("config", "encrypt", str(file), "--kid", "old")
    assert told.stdout == f"encrypted {PATH}\n"
    assert "hunter2" not in file.read_text()
    assert file.read_text().split('"tls_key_passphrase"')[0] == before.split('"tls_key_pa')[0]
    assert passphrase(file, **BOTH) == "hunter2"
    assert (
        "has no secret in plain text" in rtes("config", "encrypt", str(file), "--kid", "old").stdout
    )
    assert f'{PATH} = "hunter2"' in rtes("config", "decrypt", str(file)).stdout
    log = (file.parent / "run" / "audit.jsonl").read_text()
    assert "config encrypt" in log
    assert "hunter2" not in log


def test_any_setting_can_be_encrypted(file: Path) -> None:
    missing = rtes("config", "encrypt", str(file), "--kid", "old", "--path", "exchange.tcp_port")
    assert "put its value there first" in missing.stderr
    unknown = rtes("config", "encrypt", str(file), "--kid", "old", "--path", "exchange.tcp")
    assert "did you mean exchange.tcp_port" in unknown.stderr
    rtes("config", "encrypt", str(file), "--kid", "old", "--path", "security.tls")
    assert load(file, BOTH).security.tls is True


def test_rotation_with_both_keys_live(file: Path) -> None:
    rtes("config", "encrypt", str(file), "--kid", "old")
    told = rtes("keys", "rotate", "new", str(file), "--json")
    rows = {row["kid"]: row for row in json.loads(told.stdout)}
    assert rows["old"]["state"] == "unused: may be dropped"
    assert rows["new"]["values"] == [f"config.json: {PATH}"]
    only_new = {"RTES_ENCRYPTION_KEY_new": NEW}
    assert passphrase(file, **only_new) == "hunter2"
    with pytest.raises(SecretError, match="needs key new"):
        load(file, {"RTES_ENCRYPTION_KEY_old": OLD})


def test_a_key_that_is_needed_is_not_called_unused(file: Path) -> None:
    rtes("config", "encrypt", str(file), "--kid", "old")
    rows = json.loads(rtes("keys", "status", str(file), "--json").stdout)
    assert {r["kid"]: r["state"] for r in rows} == {
        "old": "in use",
        "new": "unused: may be dropped",
    }
    without = CliRunner().invoke(cli, ["keys", "status", str(file), "--json"])
    (row,) = json.loads(without.stdout)
    assert row["state"] == "missing: set RTES_ENCRYPTION_KEY_old"


def test_generated_keys(tmp_path: Path, file: Path) -> None:
    told = rtes("keys", "generate", "prod_key_2024", "--profile", str(file)).stdout
    name, _, text = told.removeprefix("export ").strip().partition("=")
    assert name == "RTES_ENCRYPTION_KEY_prod_key_2024"
    assert KeyRing.of({name: text}).keys["prod_key_2024"]
    target = tmp_path / "key"
    told = rtes("keys", "generate", "k2", "--file", str(target), "--profile", str(file)).stdout
    assert told == f"export RTES_ENCRYPTION_KEY_FILE_k2={target}\n"
    assert target.stat().st_mode & 0o777 == 0o600
    again = rtes("keys", "generate", "k2", "--file", str(target), "--profile", str(file))
    assert "never overwritten" in again.stderr
    assert "not FILE_ first" in rtes("keys", "generate", "FILE_x", "--profile", str(file)).stderr
