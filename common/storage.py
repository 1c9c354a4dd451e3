"""What a directory of state needs of the file system: one owner, a count of its starts, and
changes that are there whole or not at all, also after a power loss."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

EXIT_ALREADY_RUNNING: Final = 70
EXIT_JOURNAL_CORRUPT: Final = 71
PRIVATE: Final = 0o600


class AlreadyRunningError(RuntimeError):
    """Another process holds the directory."""


def lock(directory: Path) -> int:
    """Take a directory for this process alone; returns the descriptor that holds it, which
    even kill -9 lets go.

    Raises AlreadyRunningError when another process has it."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise AlreadyRunningError(f"another process holds {directory}") from None
    return fd


def next_epoch(directory: Path, at_least: int = 1) -> int:
    """Count one more start of the process that owns directory, durably, and return it."""
    path = directory / "epoch"
    epoch = max(at_least, int(path.read_text()) + 1 if path.exists() else 1)
    replace(path, str(epoch))
    return epoch


def replace(path: Path, content: str | bytes, mode: int = PRIVATE) -> None:
    """Replace a file, durably: a reader finds the old content or the new, never a part, and
    nobody else ever reads a private one. When that fails all is as it was."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        temporary.rename(path)
    except OSError:  # as on a full disk, which is not to be kept full
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make what was created, renamed or removed in directory survive power loss."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
