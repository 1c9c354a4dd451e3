"""`pip install .` of the sources, with a C compiler and without."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from rtes.common.compiled import MODULES

ROOT = Path(__file__).resolve().parents[2]
COMPILING_S = 200  # half a minute, on a machine of its own
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
    """A copy: building writes beside it."""
    copy = tmp_path / "sources"
    for name in ("benchmarks", "client", "common", "control", "services"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy2(ROOT / name, copy)
    return copy


def install(sources: Path, **environ: str) -> str:
    """What the rtes that pip installed says of its version."""
    target = sources.parent / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check",
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
    return version.stdout


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_it_compiles(sources: Path) -> None:
    quick = sources.parent / "cc"  # the real one, in half the time
    quick.write_text('#!/bin/sh\nexec cc "$@" -O0\n')
    quick.chmod(0o755)
    version = install(sources, CC=str(quick))
    assert f"compiled: {len(MODULES)} of {len(MODULES)} modules" in version


def test_it_installs_all_the_same_without_a_compiler(sources: Path) -> None:
    version = install(sources, PATH=str(Path(sys.executable).parent))
    assert "not compiled" in version
