"""Structured logs of a process: JSON lines in staging and prod, readable lines in dev.

Whoever logs only queues; a thread renders and writes. The queue is bounded: what does not fit is
dropped and counted, and the count is logged once there is room. Secrets are masked by name and by
shape, control characters are escaped, so that no value passes for a line of its own. No core
logs: nothing here is on the path of an order.
"""

import queue
import re
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Final, TextIO

from rtes.common.events import Event as Noted

# structlog loads rich for colours that no service prints: 4 MB in each. None: it is not to be had
_rich = sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
import structlog  # noqa: E402

if _rich is None:
    del sys.modules["rich"]

RECORDS_MAX: Final = 10_000
VALUE_CHARACTERS_MAX: Final = 2_000
MASK: Final = "(secret)"
_SECRET_NAME: Final = re.compile(r"secret|passphrase|password|token|private|encryption_key", re.I)
_SECRET_SHAPE: Final = re.compile(r"ENC\[v1,[^\]]*\]|\b[0-9a-fA-F]{64}\b")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LEVELS: Final = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
Event = MutableMapping[str, Any]


class LogWriter:
    """The bounded queue and its thread. dropped counts what did not fit."""

    def __init__(self, out: TextIO, as_json: bool, records_max: int = RECORDS_MAX) -> None:
        self._out = out
        self._render = _json() if as_json else _line
        self._queue: queue.Queue[Event | None] = queue.Queue(records_max)
        self._told = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Never blocks."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.dropped += 1

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what waits, for at most timeout_s."""
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            self._write(event)
            if self.dropped > self._told:
                self._told = self.dropped
                self._write({"level": "warning", "event": "logs dropped", "total": self._told})

    def _write(self, event: Event) -> None:
        try:
            self._out.write(self._render(clean(event)) + "\n")
            self._out.flush()
        except (OSError, ValueError):
            self.dropped += 1  # a full disk or a closed pipe: the service goes on


def start(environment: str, level: str, out: TextIO | None = None, **context: Any) -> LogWriter:
    """Configure structlog for this process; context (service, shard, version) is in every line."""
    writer = LogWriter(out or sys.stderr, as_json=environment != "dev")

    def enqueue(_logger: Any, method: str, event: Event) -> Any:
        writer.put({"level": method, **context, **event})
        raise structlog.DropEvent

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            enqueue,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
    )
    return writer


def set_level(level: str) -> None:
    """From now on log at this level and above. Loggers that were bound before keep theirs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]))


def get() -> Any:
    """The process's logger: get().info("session opened", account="ACME", seq=7)."""
    return structlog.get_logger()


def write(events: Iterable[Noted]) -> None:
    """What a core noted."""
    for level, what, details in events:
        getattr(get(), level)(what, **details)


def tell_of_errors() -> None:
    """What ends this process unforeseen is a line of the log, besides the usual traceback."""
    usual = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        get().error("ended by an error", kind=kind.__name__, why=str(error))
        usual(kind, error, trace)

    sys.excepthook = tell


def clean(event: Mapping[str, Any]) -> dict[str, Any]:
    """Secrets masked, control characters escaped, long values cut."""
    return {_escaped(str(name)): _clean(str(name), value) for name, value in event.items()}


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, Mapping):
        return clean(value)
    if isinstance(value, list | tuple):
        return [_clean(name, v) for v in value]
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = value if isinstance(value, str) else repr(value)
    if len(text) > VALUE_CHARACTERS_MAX:
        text = text[:VALUE_CHARACTERS_MAX] + "..."
    return _escaped(_SECRET_SHAPE.sub(MASK, text))


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _json() -> Any:
    renderer = structlog.processors.JSONRenderer()
    return lambda event: renderer(None, "", event)


def _line(event: Mapping[str, Any]) -> str:
    shown = dict(event)
    head = (shown.pop("ts", ""), str(shown.pop("level", "")).upper(), shown.pop("event", ""))
    return " ".join([*(str(h) for h in head if h), *(f"{k}={v!r}" for k, v in shown.items())])
