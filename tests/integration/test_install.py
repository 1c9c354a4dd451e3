"""`pip install .` of the sources, with a C compiler that works and with one that does not."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from rtes.common.compiled import MODULES

ROOT = Path(__file__).resolve().parents[2]
COMPILING_S = 280  # half a minute, on a machine of its own
pytestmark = pytest.mark.timeout(COMPILING_S + 10)
VERSION = """
import sys
sys.path[:0] = {paths}
from rtes.client.cli import main
sys.argv[1:] = ["version"]
main()
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of what git has: building writes beside it."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z"]
    files = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
    for name in files.rstrip("\0").split("\0"):
        to = tmp_path / "sources" / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, to, follow_symlinks=False)
    return tmp_path / "sources"


def install(sources: Path, **environ: str) -> tuple[str, str]:
    """What pip said, and what the rtes that it installed says of its version."""
    target = sources.parent / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-v", "--disable-pip-version-check",
           "--no-build-isolation", "--no-deps", "--target", str(target), str(sources)]  # fmt: skip
    clean = {k: v for k, v in os.environ.items() if k != "RTES_COMPILE"}
    done = subprocess.run(
        pip, env=clean | environ, capture_output=True, text=True, timeout=COMPILING_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    paths = [str(target), sysconfig.get_path("purelib")]
    version = subprocess.run(  # -S: the checkout that tests run in is not what is asked
        [sys.executable, "-S", "-c", VERSION.format(paths=paths)],
        env=clean, capture_output=True, text=True, timeout=60, check=True, cwd=target,
    )  # fmt: skip
    return done.stdout + done.stderr, version.stdout


@pytest.mark.skipif(shutil.which(os.environ.get("CC", "cc")) is None, reason="no C compiler")
def test_it_compiles(sources: Path) -> None:
    _, version = install(sources)
    assert f"compiled: {len(MODULES)} of {len(MODULES)} modules" in version


def test_it_installs_all_the_same_when_compiling_fails(sources: Path) -> None:
    told, version = install(sources, CC="false")
    assert "rtes: compiling failed, it will run uncompiled" in told
    assert "not compiled" in version
