"""Stops the exchange of this checkout and removes what it leaves: what scripts/stop.sh runs."""

import sys
from typing import Final

from rtes.common.config import PROFILES, ConfigError, running
from rtes.common.paths import Paths
from rtes.control.supervisor import Supervisor

STOP_S_MAX: Final = 30.0


def stop(supervisor: Supervisor) -> bool:
    """Stop supervisord and its programs, remove sockets. True: it was running."""
    environ = supervisor.environ()  # it may have been told of another run_dir than we
    stopped = supervisor.shutdown(STOP_S_MAX)
    supervisor.clean()
    for profile in sorted(set(PROFILES.values())):
        try:
            Paths(running(profile, environ)).clean()
        except ConfigError as error:
            print(f"stop: {error}", file=sys.stderr)
    return stopped


def main() -> int:
    print("RTES is stopped." if stop(Supervisor()) else "RTES is not running.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
