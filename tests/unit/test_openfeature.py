"""The OpenFeature provider, by the SDK's own client on files as an exchange has them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from rtes.common.config import load
from rtes.common.paths import Paths
from rtes.control.openfeature import RtesProvider

DEMO1 = EvaluationContext("DEMO1")  # at 21.204 % of fair_credit


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    mesh = {"run_dir": str(tmp_path / "run")}
    flags = {"rollout_percentages": {"fair_credit": 20}, "enable_all": True, "enable_none": False}
    tree = {"environment": "dev", "mesh": mesh, "feature_flags": flags}
    path.write_text(json.dumps(tree))
    (tmp_path / "run").mkdir()
    return path


@pytest.fixture
def client(file: Path) -> Iterator[OpenFeatureClient]:
    api.set_provider_and_wait(RtesProvider(str(file)))
    yield api.get_client()
    api.clear_providers()


def test_what_operators_set_holds_at_once(client: OpenFeatureClient, file: Path) -> None:
    before = client.get_boolean_details("fair_credit", True, DEMO1)
    assert (before.value, before.variant, before.reason) == (False, "off", Reason.SPLIT)
    Paths(load(file, {})).flags_file.write_text('{"fair_credit": {"percent": 22}}')
    assert client.get_boolean_value("fair_credit", False, DEMO1)


def test_reasons(client: OpenFeatureClient) -> None:
    on = client.get_boolean_details("all", False, DEMO1)
    off = client.get_boolean_details("none", True, DEMO1)
    assert (on.value, on.reason) == (True, Reason.STATIC)
    assert (off.value, off.reason) == (False, Reason.DISABLED)


def test_what_cannot_be_said_is_the_default_and_its_reason(
    client: OpenFeatureClient, file: Path
) -> None:
    unknown = client.get_boolean_details("no_such_flag", True, DEMO1)
    assert (unknown.value, unknown.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
    nobody = client.get_boolean_details("fair_credit", True)
    assert (nobody.value, nobody.error_code) == (True, ErrorCode.TARGETING_KEY_MISSING)
    text = client.get_string_details("fair_credit", "x", DEMO1)
    assert (text.value, text.error_code) == ("x", ErrorCode.TYPE_MISMATCH)
    Paths(load(file, {})).flags_file.write_text("{")
    broken = client.get_boolean_details("fair_credit", True, DEMO1)
    assert (broken.value, broken.error_code) == (True, ErrorCode.GENERAL)
