"""Starts the exchange of this checkout: what scripts/start.sh runs once the environment is made.

It checks first what would fail later (configuration, cores, ports), starts supervisord, waits
until the exchange is ready, starts the bots in dev and says what to do next. A start that fails
says which service did not come up and shows the end of its log, and leaves nothing running.
"""

import argparse
import http
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Final

from rtes.common.config import PROFILES, Config, ServiceCores, checkout, resolve
from rtes.common.config_env import read_command_line, read_environment, shell_name
from rtes.common.errors import OperatorError
from rtes.common.healthpage import NoAnswerError, page
from rtes.common.heartbeat import beats
from rtes.common.paths import Paths
from rtes.common.process import check_cores
from rtes.common.topology import layout_here
from rtes.control.files_check import check_named_files
from rtes.control.hosts import placed_here, ports_here, prepare, programs_elsewhere
from rtes.control.run import BOTS, CONTROL, EXIT_CONFIG
from rtes.control.shards import program_name, supervisor_file
from rtes.control.stop import stop
from rtes.control.supervisor import STANDALONE, Program, Supervisor, SupervisorError

READY_S_MAX: Final = 120.0  # on a machine that is busy; what crashes is seen sooner
CRASHING_S_MAX: Final = 15.0  # a service that still crashes then will not come up
LOG_LINES: Final = 15
_POLL_S: Final = 0.1


class StartError(RuntimeError):
    """The exchange cannot start; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    supervisor = Supervisor()
    try:
        if supervisor.pid() is not None:
            return _running_already(supervisor, options.profile)
        export_settings(options.set, options.profile)
        found = resolve(options.profile)
        for warning in found.warnings:
            print(f"start: {warning}", file=sys.stderr)
        config = found.config
        check(config)
        prepare(config)
        return _start(supervisor, config, options)
    except KeyboardInterrupt:
        say("RTES is stopped.")
        return 0
    except (OperatorError, StartError, SupervisorError, OSError) as error:
        print(f"start: {error}", file=sys.stderr)
        return 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/start.sh", description="Start the exchange and wait until it is ready."
    )
    parser.add_argument("--profile", choices=sorted(set(PROFILES.values())), default="dev")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE",
                        help="a setting, over all other sources")  # fmt: skip
    parser.add_argument("--no-bots", action="store_true", help="dev: start without bots")
    parser.add_argument("--foreground", action="store_true", help="stay; Ctrl-C stops it")
    return parser.parse_args(arguments)


def export_settings(settings: list[str], environment: str) -> None:
    """Hand settings of the command line on to the services, in place of other overrides."""
    overridden = read_environment(os.environ, environment).by_path
    for path, source in read_command_line(settings).items():
        for other in overridden.get(path, []):
            del os.environ[other.name]
        value = source.value
        os.environ[shell_name(path)] = value if isinstance(value, str) else json.dumps(value)


def _running_already(supervisor: Supervisor, profile: str) -> int:
    runs = supervisor.profile()
    if runs in (profile, STANDALONE):
        say(f"RTES is running (supervisord {supervisor.pid()}). Stop it: scripts/stop.sh")
        return 0
    raise StartError(f"profile {runs} is running in this checkout; stop it first: scripts/stop.sh")


def check(config: Config) -> None:
    """What would keep a service from starting. Raises StartError, OperatorError."""
    cores = layout_here(config)
    for service in ServiceCores.model_fields:
        check_cores(getattr(cores, service), f"cores.{service}")
    check_named_files(config)
    for what, host, port in ports_here(config):
        if not is_free(host, port):
            raise StartError(
                f"port {port} ({what}) is taken by another program. Move all ports of this "
                f"checkout:\n    RTES__EXCHANGE__PORT_OFFSET=100 scripts/start.sh"
            )


def is_free(host: str, port: int) -> bool:
    """Whether nothing listens there; what is only left of connections does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _start(supervisor: Supervisor, config: Config, options: argparse.Namespace) -> int:
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both stop what was started
    process = supervisor.start(
        options.profile, supervisor_file(config, checkout(), programs_elsewhere(config))
    )
    try:
        _await_ready(supervisor, config, process)
        if config.mesh.placement.several:
            say(f"This host's services run ({options.profile}): {_here(config)}.")
            say(f"Once all hosts' do, {config.http_url}/ready says so.")
            return _until_it_ends(process) if options.foreground else 0
        bots = options.profile == "dev" and not options.no_bots and _start_bots(supervisor)
        say(f"RTES is ready ({options.profile}, {time.monotonic() - began:.1f} s).")
        say(next_steps(config, bots))
        return _until_it_ends(process) if options.foreground else 0
    except BaseException:
        stop(supervisor)
        raise


def say(text: str) -> None:
    """Print it. Whoever started the exchange may have stopped reading; that does not stop it."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _until_it_ends(process: subprocess.Popen[bytes]) -> int:
    """Its exit status. Raises KeyboardInterrupt at the first signal that stops; those are waited
    for, because one that came just before a wait for the process would not end that."""
    awaited = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    try:
        while (status := process.poll()) is None:
            if signal.sigwait(awaited) != signal.SIGCHLD:
                raise KeyboardInterrupt
        return status
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, awaited)


def _here(config: Config) -> str:
    return ", ".join(sorted(program_name(*one) for one in placed_here(config)))


def _not_started(supervisor: Supervisor, config: Config) -> list[str]:
    """Which of this host's services have not beaten yet: those have not taken what they are
    configured with. Whether they are ready hangs on the other hosts, too."""
    pids = {p.pid for p in supervisor.programs()} if supervisor.pid() is not None else set()
    beating = {b.name for b in beats(Paths(config).beats_dir) if b.pid in pids and not b.stale}
    here = sorted(placed_here(config))
    named = {f"{s} {n}": CONTROL if s == CONTROL else f"{s}{n}" for s, n in here}
    return [f"{who}: has not started" for who, name in named.items() if name not in beating]


def _start_bots(supervisor: Supervisor) -> bool:
    program = supervisor.start_program(BOTS)
    if program.state == "RUNNING":
        return True
    print(f"start: bots did not start; end of {program.log}:\n{_tail(program)}", file=sys.stderr)
    return False


def _await_ready(supervisor: Supervisor, config: Config, process: subprocess.Popen[bytes]) -> None:
    began, several = time.monotonic(), config.mesh.placement.several
    while True:
        waiting = _not_started(supervisor, config) if several else waiting_for(config)
        if not waiting:
            return
        if process.poll() is not None:
            raise StartError(f"supervisord ended:\n{supervisor.output.read_text()}")
        programs = [] if supervisor.pid() is None else supervisor.programs()
        passed_s = time.monotonic() - began
        if passed_s > READY_S_MAX or any(_hopeless(p, passed_s) for p in programs):
            raise StartError(_explain(programs, waiting, passed_s))
        time.sleep(_POLL_S)


def _hopeless(program: Program, passed_s: float) -> bool:
    crashing = program.state in ("BACKOFF", "FATAL") and passed_s > CRASHING_S_MAX
    return crashing or program.exit_status == EXIT_CONFIG


def waiting_for(config: Config) -> list[str]:
    """What health says is still missing; empty when the exchange has started and is ready."""
    for path in ("/startup", "/ready"):
        try:
            status, body = page(config, path)
            told = json.loads(body)
        except (NoAnswerError, ValueError):
            return ["health 0: does not answer"]
        if status != http.HTTPStatus.OK:
            return [str(line) for line in told.get("waiting_for", ["health 0: does not say more"])]
    return []


def _explain(programs: list[Program], waiting: list[str], passed_s: float) -> str:
    named = [line.partition(":")[0].split() for line in waiting]
    unready = {program_name(service, int(number)) for service, number in named}
    shown = [p for p in programs if p.name in unready or p.exit_status == EXIT_CONFIG]
    parts = [f"not ready after {passed_s:.0f} s:", *(f"    {line}" for line in waiting)]
    for program in shown:
        parts += [f"--- {program.name} ({program.state}), end of {program.log}:", _tail(program)]
    return "\n".join(parts)


def _tail(program: Program) -> str:
    if not program.log.exists():
        return "    (empty)"
    lines = program.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join(f"    {line}" for line in lines)


def next_steps(config: Config, bots: bool) -> str:
    """What start.sh prints at the end."""
    rtes = checkout() / ".venv" / "bin" / "rtes"
    profile = config.environment
    to = "" if profile == "dev" else f" --profile {profile}"
    new = "" if profile != "prod" else "; make one first: rtes participants add NAME --profile prod"
    account = "NAME" if profile == "prod" else "DEMO1"
    return f"""
  Watch a book{" (bots are trading)" if bots else ""}:
      {rtes} book AAPL{to}
  Place an order (account {account}{new}):
      {rtes} order buy AAPL 10 585.00 --account {account}{to}
  See your orders and positions:
      {rtes} orders --account {account}{to}
      {rtes} positions --account {account}{to}
  Health page:
      {config.http_url}/
  Stop:
      {checkout() / "scripts" / "stop.sh"}
"""


if __name__ == "__main__":
    sys.exit(main())
