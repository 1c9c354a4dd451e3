"""A build is used only while it is of the sources as they are; what is compiled is told."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rtes.common import compiled

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a build that is fresh as far as its digest says."""
    for name in ("common", "services"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = compiled.build_dir(tmp_path)
    (build / "rtes/common").mkdir(parents=True)
    (build / f"rtes/common/link{compiled.SUFFIX}").write_bytes(b"no extension at all")
    (build / compiled.DIGEST_FILE).write_text(compiled.digest(tmp_path))
    return tmp_path


def run(checkout: Path, code: str, **environ: str) -> str:
    """What code prints under the package of another checkout."""
    package = checkout / "links" / "rtes"
    if not package.exists():
        package.mkdir(parents=True)
        for name in ("common", "services"):
            (package / name).symlink_to(checkout / name)
    clean = {k: v for k, v in os.environ.items() if k != "RTES_COMPILE"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean | {"PYTHONPATH": str(package.parent)} | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_every_module_has_a_source() -> None:
    for name in compiled.MODULES:
        assert (ROOT / f"{name.split('.', 1)[1].replace('.', '/')}.py").exists(), name


def test_a_fresh_build_is_what_is_imported(checkout: Path) -> None:
    said = run(checkout, "import rtes.services.matcher.engine, rtes.common.link")
    assert "ImportError" in said
    assert "link" in said


@pytest.mark.parametrize("edited", ["common/link.py", "common/enums.py", "services/risk/rules.py"])
def test_a_build_older_than_the_sources_is_ignored(checkout: Path, edited: str) -> None:
    with (checkout / edited).open("a") as file:
        file.write("\n")
    said = run(checkout, "from rtes.common import compiled; print(compiled.status())")
    assert said == "not compiled: the build is older than the sources, make compile renews it"


def test_the_build_can_be_switched_off(checkout: Path) -> None:
    code = "from rtes.common import compiled; print(compiled.status())"
    assert run(checkout, code, RTES_COMPILE="0") == "not compiled"


def test_a_checkout_without_a_build_runs(checkout: Path) -> None:
    shutil.rmtree(compiled.build_dir(checkout))
    code = "from rtes.common import compiled; print(compiled.status())"
    assert run(checkout, code) == "not compiled"
