"""Settings that change while a service runs: those marked live, all of them or none.

`rtes config reload` checks the new configuration as a whole and then renames one file into place;
every service looks at that file twice a second and applies what is live of it. A file that does
not check out is never renamed, so no service can be left behind with half of it. Limits change
what risk decides from then on; each decision travels with its command into the journal, so a
replay agrees whatever the limits were.
"""

from collections.abc import Callable
from pathlib import Path

from rtes.common import logs
from rtes.common.config import Config


class LiveConfig:
    """The configuration that the exchange was started or last reloaded with, looked at again."""

    def __init__(self, file: Path, level: str) -> None:
        self._file = file
        self._level = level
        self._stamp = self._look()
        self._apply: list[Callable[[Config], None]] = []

    def on_change(self, apply: Callable[[Config], None]) -> None:
        """Call apply with the configuration whenever it has changed; only live settings of it
        may differ from those at the start."""
        self._apply.append(apply)

    def look(self) -> None:
        """One stat; and, after a reload, the change itself."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            config = Config.model_validate_json(self._file.read_text())
        except (OSError, ValueError) as error:
            logs.get().error("reload not applied", file=str(self._file), why=str(error))
            return
        if config.security.log_level != self._level:
            self._level = config.security.log_level
            logs.set_level(self._level)
        for apply in self._apply:
            apply(config)
        logs.get().info("reloaded")

    def _look(self) -> tuple[int, int]:
        try:
            found = self._file.stat()
        except OSError:
            return 0, 0
        return found.st_mtime_ns, found.st_ino
