"""Starts one program of supervisord.conf: `python -m rtes.control.run NAME`.

The profile is RTES_ENVIRONMENT, dev when it is not set. Keys are made if they are missing, so
that supervisord works alone. The first program of a supervisord takes the profile as it is then,
for all: what is edited later waits for a reload or the next start, whatever is restarted meanwhile.
The process then becomes the service, and dies with supervisord.
"""

import os
import sys
from pathlib import Path
from typing import Final, NoReturn

from rtes.common.config import Config, Resolved, load, resolve
from rtes.common.config_env import FILE, shell_name
from rtes.common.config_schema import fields, is_secret
from rtes.common.errors import OperatorError
from rtes.common.paths import Paths
from rtes.common.process import die_with_parent, started
from rtes.common.storage import replace
from rtes.control.files import locked
from rtes.control.hosts import prepare
from rtes.control.setup import write_config
from rtes.control.shards import instance_of

EXIT_CONFIG: Final = 64
BOTS: Final = "bots"
CONTROL: Final = "control"


def command(name: str, profile: str, started: Path) -> list[str]:
    """The command line that NAME stands for: matcher is the first matcher, matcher1 the second.
    Services read what was started; the others find it by the profile."""
    if name == BOTS:
        return [str(Path(sys.executable).parent / "rtes"), "bots", "run", "--profile", profile]
    if name == CONTROL:
        return [sys.executable, "-m", "rtes.control.server", "--config", profile]
    service, number = instance_of(name)
    module = f"rtes.services.{service}"
    return [sys.executable, "-m", module, "--config", str(started), "--shard", str(number)]


def take(profile: Config, supervisor: str) -> Config:
    """The configuration that this supervisord's programs have: the profile's for the first of
    them, and what that left for the others. Raises OperatorError."""
    paths = Paths(profile)
    taken_by = paths.run_dir / "supervisor"
    with locked(paths.run_dir / "start.lock"):
        if taken_by.exists() and taken_by.read_text() == supervisor:
            config = load(paths.config_file)
            prepare(config)
            return config
        prepare(profile)
        write_config(profile)
        replace(taken_by, supervisor)
        return profile


def secrets_of(found: Resolved) -> dict[str, str]:
    """The secrets that the profile's file holds, as overrides: they are not in what is started."""
    wanted = [p for p, info in fields().items() if is_secret(info)]
    plain = {}
    for path in wanted:
        section, name = path.split(".")
        value = getattr(getattr(found.config, section), name)
        if value is not None and found.sources[path][0].kind == FILE:
            plain[shell_name(path)] = value.get_secret_value()
    return plain


def main() -> NoReturn:
    die_with_parent()
    profile = os.environ.get("RTES_ENVIRONMENT", "dev")
    try:
        found = resolve(profile)
        config = take(found.config, f"{os.getppid()} {started(os.getppid())}")
    except (OperatorError, OSError) as error:
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    arguments = command(sys.argv[1], profile, Paths(config).config_file)
    os.execve(arguments[0], arguments, {**os.environ, **secrets_of(found)})  # noqa: S606 - no shell


if __name__ == "__main__":
    main()
