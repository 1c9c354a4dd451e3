"""Overrides as real shells and supervisors hand them on: bash, dash, env(1), supervisord's
environment= and an env file as containers have it.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

RTES = str(Path(sys.executable).parent / "rtes")
DOTTED = "RTES_exchange.tcp_port_DEV"
SHELL = "RTES__EXCHANGE__TCP_PORT__DEV"
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("RTES")}


@pytest.fixture
def show(tmp_path: Path) -> list[str]:
    """The command that prints which configuration holds."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"environment": "dev", "mesh": {"run_dir": str(tmp_path / "run")}}))
    return [RTES, "config", "show", "--json", "--profile", str(file)]


def port(command: list[str], **environ: str) -> int:
    told = subprocess.run(
        command, env={**CLEAN, **environ}, capture_output=True, text=True, check=True
    )
    return int(json.loads(told.stdout)["exchange"]["tcp_port"])


@pytest.mark.parametrize("shell", ["bash", "dash"])
class TestShells:
    def test_they_export_the_safe_spelling(self, show: list[str], shell: str) -> None:
        assert port([shell, "-c", f"export {SHELL}=9001; {shlex.join(show)}"]) == 9001

    def test_they_refuse_to_export_a_dot(self, show: list[str], shell: str) -> None:
        script = f"export {DOTTED}=9001; {shlex.join(show)}"
        told = subprocess.run([shell, "-c", script], env=CLEAN, capture_output=True, check=False)
        assert DOTTED.encode() in told.stderr

    def test_env_sets_both_through_them(self, show: list[str], shell: str) -> None:
        for name in (DOTTED, SHELL):
            assert port([shell, "-c", shlex.join(["env", f"{name}=9002", *show])]) == 9002


def test_bash_hands_a_dotted_name_on_and_dash_drops_it(show: list[str]) -> None:
    through = {shell: port([shell, "-c", f"{shlex.join(show)}; :"], **{DOTTED: "9003"})
               for shell in ("bash", "dash")}  # fmt: skip
    assert through == {"bash": 9003, "dash": 8888}
    assert port(["dash", "-c", f"{shlex.join(show)}; :"], **{SHELL: "9003"}) == 9003


def test_a_container_env_file(show: list[str], tmp_path: Path) -> None:
    """NAME=VALUE lines, taken as they are: no shell reads them."""
    (tmp_path / "container.env").write_text(f"# orders\n{DOTTED}=9004\nRTES_PORT=tcp://1.2.3.4:5\n")
    lines = (tmp_path / "container.env").read_text().splitlines()
    environ = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert port(show, **environ) == 9004


def test_supervisord(show: list[str], tmp_path: Path) -> None:
    conf = tmp_path / "supervisord.conf"
    conf.write_text(
        "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
        f"pidfile={tmp_path}/pid\n"
        f"[program:show]\ncommand={' '.join(show)}\nautorestart=false\nstartsecs=0\n"
        f'environment={DOTTED}="9005",RTES__EXCHANGE__DAY_END_UTC="21:30"\n'
        f"stdout_logfile={tmp_path}/out\n"
    )
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)]
    with subprocess.Popen(command, env=CLEAN, stdout=subprocess.DEVNULL) as supervisord:
        deadline = time.monotonic() + 20
        while not (tmp_path / "out").exists() or not (tmp_path / "out").read_text().endswith("\n"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        supervisord.terminate()
    exchange = json.loads((tmp_path / "out").read_text())["exchange"]
    assert (exchange["tcp_port"], exchange["day_end_utc"]) == (9005, "21:30")
