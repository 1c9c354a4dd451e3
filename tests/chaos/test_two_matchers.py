"""A second matcher on a journal ends with the exit code that says so, and disturbs nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rtes.client.testing import Mesh
from rtes.common.config import load
from rtes.common.paths import Paths
from rtes.common.storage import EXIT_ALREADY_RUNNING
from rtes.control.setup import setup

from tests.meshes import audit, connect

pytestmark = pytest.mark.mesh


def second_run_dir(mesh: Mesh, directory: Path) -> Path:
    """The configuration of another exchange whose journal is a link to the first one's."""
    tree = json.loads(mesh.config_file.read_text())
    tree["mesh"]["run_dir"] = str(directory / "second")
    file = directory / "second.json"
    file.write_text(json.dumps(tree))
    config = load(file, {})
    setup(config)
    journal = Paths(config).journal_dir(0)
    journal.parent.mkdir(parents=True)
    journal.symlink_to(mesh.paths.journal_dir(0))
    return file


@pytest.mark.parametrize("same_exchange", [True, False])
def test_the_second_matcher_is_refused(mesh: Mesh, tmp_path: Path, same_exchange: bool) -> None:
    file = mesh.config_file if same_exchange else second_run_dir(mesh, tmp_path)
    with connect(mesh, "DEMO1") as client:
        order = client.buy("AAPL", 1, 58_000)
        second = subprocess.run(
            [sys.executable, "-m", "rtes.services.matcher", "--config", str(file)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert second.returncode == EXIT_ALREADY_RUNNING == 70
        assert "another process holds" in second.stderr
        client.cancel(order)
    audit(mesh)
