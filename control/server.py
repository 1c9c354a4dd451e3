"""The control socket: operations for people who do not own the exchange's files.

Anyone on this host may connect; who they are is what the kernel says (SO_PEERCRED), and what
they may is what was granted. One JSON line asks, one answers, both bounded, in 30 s. Only
operations on the exchange's own files are here, never any on files that a caller names.
"""

import argparse
import asyncio
import atexit
import os
import signal
import socket
import stat
import struct
import sys
import threading
from pathlib import Path
from typing import Final

from rtes.common import logs
from rtes.common.config import ConfigError, running
from rtes.common.errors import OperatorError
from rtes.common.heartbeat import PATIENT_S, Heartbeat
from rtes.common.paths import Paths
from rtes.common.process import die_with_parent
from rtes.control.desk import Desk
from rtes.control.operations import SHARED
from rtes.control.remote import RemoteControl
from rtes.control.requests import answer

REQUEST_BYTES_MAX: Final = 65_536
REQUEST_S_MAX: Final = 30.0
BEAT_S: Final = 1.0
EXIT_CONFIG: Final = 64
_PEER_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid


class ControlServer:
    """Serves one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listen(self) -> asyncio.Server:
        path = self._desk.paths.control_socket
        _directory(path.parent)
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._client, path, limit=REQUEST_BYTES_MAX)
        path.chmod(0o666)  # who may do what is decided by peer, not by file mode
        return server

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S_MAX):
                actor = f"uid:{peer_uid(writer.get_extra_info('socket'))}"
                writer.write(answer(self._desk, actor, await reader.readline()) + b"\n")
                await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass  # the peer's fault; it gets no answer
        finally:
            writer.close()


def peer_uid(connection: socket.socket) -> int:
    """The user id of the process at the other end of a unix socket."""
    size = _PEER_CREDENTIALS.size
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(_PEER_CREDENTIALS.unpack(credentials)[1])


def _directory(path: Path) -> None:
    """Raises ConfigError when somebody else has made it."""
    path.mkdir(mode=0o755, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{path} is not a directory of this user; remove it")
    path.chmod(0o755)


async def _beat(beat: Heartbeat) -> None:
    """For the watchdog. An operation holds it up: it counts for longer than one may take."""
    while True:
        beat()
        await asyncio.sleep(BEAT_S)


async def _serve(desk: Desk) -> None:
    server = await ControlServer(desk).listen()
    beating = asyncio.create_task(_beat(Heartbeat(desk.paths.beats_dir / "control", PATIENT_S)))
    stopped, remote_stopped = asyncio.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    remote = None
    if desk.config.exchange.control_port is not None:
        served = RemoteControl(Desk(desk.config, SHARED, desk.source, served=True))
        remote = threading.Thread(target=served.serve, args=(remote_stopped,), name="remote")
        remote.start()
    await stopped.wait()
    remote_stopped.set()
    if remote is not None:
        remote.join()
    beating.cancel()
    server.close()
    desk.paths.control_socket.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rtes.control.server")
    parser.add_argument("--config", default="dev", help="profile or path of a configuration")
    options = parser.parse_args(arguments)
    die_with_parent()
    os.umask(0o077)
    try:
        config = running(options.config)
        Paths(config).prepare()
        writer = logs.start(config.environment, config.security.log_level, service="control")
        atexit.register(writer.close)
        asyncio.run(_serve(Desk(config, SHARED, options.config, served=True)))
    except (OperatorError, OSError) as error:
        print(f"control: {error}", file=sys.stderr)
        return EXIT_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main())
