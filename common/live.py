"""What changes while a service runs: settings marked live, feature flags, the throttle.

`rtes config reload` checks the new configuration as a whole and renames one file into place, so
no service can be left with half of it; every service looks at it twice a second. A replay agrees
whatever the limits were: each decision of risk travels with its command into the journal. Flags
that operators set, and the emergency's throttle, lie in files of their own that outlive a
restart.
"""

from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter
from rtes.common import logs
from rtes.common.config import Config, load
from rtes.common.flags import FeatureFlags, Rule, effective
from rtes.common.paths import Paths

_RULES = TypeAdapter(dict[str, Rule])
Stamp = tuple[int, int]


class LiveConfig:
    """The configuration that the exchange was started or last reloaded with, looked at again."""

    def __init__(self, file: Path, level: str) -> None:
        self._file = file
        self._level = level
        self._stamp = _stamp(file)
        self._apply: list[Callable[[Config], None]] = []
        self._others: list[Callable[[], None]] = []

    def along(self, look: Callable[[], None]) -> None:
        """Call look as often as this is looked at: for what lies in a file of its own."""
        self._others.append(look)

    def on_change(self, apply: Callable[[Config], None]) -> None:
        """Call apply with the configuration whenever it has changed; only live settings of it
        may differ from those at the start."""
        self._apply.append(apply)

    def look(self) -> None:
        """One stat; and, after a reload, the change itself."""
        for look in self._others:
            look()
        stamp = _stamp(self._file)
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


def as_run(config: Config) -> Config:
    """A configuration as the exchange has it now, which may have been reloaded since; secrets are
    not in it. Itself when the exchange was never started. Raises ConfigError."""
    file = Paths(config).config_file
    return load(file, {}) if file.exists() else config


def read_rules(file: Path) -> dict[str, Rule]:
    """What operators set, by flag; nothing without the file. Raises OSError, ValueError."""
    return _RULES.validate_json(file.read_bytes()) if file.exists() else {}


class LiveFlags:
    """The flags of a service: those of the configuration, and over them what operators set."""

    def __init__(self, file: Path, config: Config, live: LiveConfig) -> None:
        self.flags = FeatureFlags()
        self._file = file
        self._configured = config.feature_flags.rules()
        self._over: dict[str, Rule] = {}
        self._stamp: Stamp | None = None
        self._apply: list[Callable[[], None]] = []
        live.on_change(self._configure)
        live.along(self._look)
        self._look()

    def on_change(self, apply: Callable[[], None]) -> None:
        """Call apply whenever a rule has changed."""
        self._apply.append(apply)

    def _configure(self, config: Config) -> None:
        self._configured = config.feature_flags.rules()
        self._hold()

    def _look(self) -> None:
        """One stat; what cannot be read changes nothing, and is logged."""
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._over = read_rules(self._file)
        except (OSError, ValueError) as error:
            logs.get().error("flags not applied", file=str(self._file), why=str(error))
        self._hold()

    def _hold(self) -> None:
        rules = effective(self._configured, self._over)
        if rules == self.flags.rules:
            return
        self.flags.rules = rules
        for apply in self._apply:
            apply()
        logs.get().info("flags", rules=sorted(rules))


class LiveThrottle:
    """Whether the emergency's first stage holds: while its file is there."""

    def __init__(self, file: Path, apply: Callable[[bool], None], live: LiveConfig) -> None:
        self._file = file
        self._apply = apply
        self._on = False
        live.along(self._look)
        self._look()

    def _look(self) -> None:
        on = self._file.exists()
        if on != self._on:
            self._on = on
            self._apply(on)
            logs.get().warning("emergency throttle", on=on)


def _stamp(file: Path) -> Stamp:
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino
