"""Stops the exchange of this checkout and removes what it leaves: what scripts/stop.sh runs."""

import sys

from rtes.common.config import PROFILES, ConfigError, running
from rtes.common.paths import Paths
from rtes.control.start import STOP_S_MAX
from rtes.control.supervisor import Supervisor


def main() -> int:
    supervisor = Supervisor()
    stopped = supervisor.shutdown(STOP_S_MAX)
    supervisor.clean()
    for profile in sorted(set(PROFILES.values())):
        try:
            Paths(running(profile)).clean()
        except ConfigError as error:
            print(f"stop: {error}", file=sys.stderr)
    print("RTES is stopped." if stopped else "RTES is not running.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
