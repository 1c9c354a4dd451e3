"""An exchange whose pages need security.http_token: its own tools show it, or say that it lacks."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from rtes.client.cli import cli
from rtes.client.testing import Mesh
from rtes.common.access import AccessError
from rtes.common.config import load
from rtes.common.healthpage import page
from rtes.control.start import waiting_for

from tests.meshes import wait_for

TOKEN = "only for those who watch"
VARIABLE = "RTES__SECURITY__HTTP_TOKEN"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Health alone: the first moments of a start, when no service has been heard of."""
    directory = tmp_path_factory.mktemp("token")
    alone = Mesh(directory, ("health",), security={"http_token": TOKEN})
    try:
        alone.start("health")
        wait_for(lambda: answers(alone), 30.0)
        yield alone
    finally:
        alone.close()


def answers(mesh: Mesh) -> bool:
    try:
        return mesh.get("/live")[0] == 200
    except OSError:
        return False


def rtes(mesh: Mesh, *arguments: str, **environ: str) -> Result:
    # the file that a start leaves behind: there are no secrets in it
    words = [*arguments, "--profile", str(mesh.paths.config_file)]
    return CliRunner().invoke(cli, words, env=environ)


def test_a_start_is_told_what_is_missing(mesh: Mesh) -> None:
    waiting = {line.partition(":")[0] for line in waiting_for(mesh.config)}
    assert {"gateway 0", "risk 0", "matcher 0"} <= waiting


def test_a_start_without_the_token_waits_all_the_same(mesh: Mesh) -> None:
    assert waiting_for(load(mesh.paths.config_file, {})) == ["health 0: does not say more"]


def test_status_shows_services_to_who_has_it(mesh: Mesh) -> None:
    shown = rtes(mesh, "status", **{VARIABLE: TOKEN})
    assert shown.exit_code == 1
    assert "matcher" in shown.stdout


def test_status_without_it_tells_the_outcome_and_what_is_lacking(mesh: Mesh) -> None:
    shown = rtes(mesh, "status")
    assert shown.exit_code == 1
    assert shown.stdout == f"exchange at {mesh.config.http_url}: unhealthy\n"
    assert VARIABLE in shown.stderr
    told = rtes(mesh, "status", "--json")
    assert json.loads(told.stdout)["status"] == "unhealthy"


def test_latency_needs_it(mesh: Mesh) -> None:
    words = ("latency", "--once", "--seconds", "0")
    assert rtes(mesh, *words, **{VARIABLE: TOKEN}).exit_code == 0
    refused = rtes(mesh, *words)
    assert refused.exit_code == 1
    assert VARIABLE in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    wrong = rtes(mesh, *words, **{VARIABLE: "another"})
    assert wrong.exit_code == 1
    assert "the one that was shown is not it" in wrong.stderr


def test_who_lacks_it_is_told_so(mesh: Mesh) -> None:
    assert mesh.get("/metrics")[0] == 200
    with pytest.raises(AccessError, match=VARIABLE):
        page(load(mesh.paths.config_file, {}), "/metrics")
