"""Writing what must be whole and private: files appear by rename, mode 0600, synced."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600


def replace(path: Path, text: str, mode: int = PRIVATE) -> None:
    """Give path this content, or leave it as it was. Nobody else ever reads a private one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fchmod(fd, mode)
        os.fsync(fd)
    temporary.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
