"""Starts one program of supervisord.conf: `python -m rtes.control.run NAME`.

The profile is RTES_ENVIRONMENT, dev when it is not set. Keys are made if they are missing, so
that supervisord works alone. The process then becomes the service, and dies with supervisord.
"""

import os
import sys
from pathlib import Path
from typing import Final, NoReturn

from rtes.common.config import ConfigError, load
from rtes.common.process import die_with_parent
from rtes.control.hosts import prepare
from rtes.control.shards import instance_of

EXIT_CONFIG: Final = 64
BOTS: Final = "bots"
CONTROL: Final = "control"


def command(name: str, profile: str) -> list[str]:
    """The command line that NAME stands for: matcher is the first matcher, matcher1 the second."""
    if name == BOTS:
        return [str(Path(sys.executable).parent / "rtes"), "bots", "run", "--profile", profile]
    if name == CONTROL:
        return [sys.executable, "-m", "rtes.control.server", "--config", profile]
    service, number = instance_of(name)
    module = f"rtes.services.{service}"
    return [sys.executable, "-m", module, "--config", profile, "--shard", str(number)]


def main() -> NoReturn:
    die_with_parent()
    profile = os.environ.get("RTES_ENVIRONMENT", "dev")
    try:
        prepare(load(profile))
    except (ConfigError, OSError) as error:
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    arguments = command(sys.argv[1], profile)
    os.execv(arguments[0], arguments)  # noqa: S606 - no shell


if __name__ == "__main__":
    main()
