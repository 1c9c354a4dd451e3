"""The control socket: another user of this host is who the kernel says, may what was granted,
and is refused and recorded otherwise.
"""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rtes.common.config import Config, load
from rtes.common.errors import OperatorError
from rtes.common.paths import Paths
from rtes.control.caller import perform
from rtes.control.server import REQUEST_BYTES_MAX
from rtes.control.setup import setup

OTHER_UID = 65_534
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs another user to be")


@pytest.fixture(scope="module")
def config() -> Iterator[Config]:
    """Of an exchange whose control socket is served."""
    directory = Path(tempfile.mkdtemp())  # pytest's own is closed to other users
    directory.chmod(0o755)
    file = directory / "config.json"
    file.write_text(json.dumps({"environment": "dev", "mesh": {"run_dir": str(directory / "run")}}))
    file.chmod(0o644)
    config = load(file, {})
    setup(config)
    command = [sys.executable, "-m", "rtes.control.server", "--config", str(file)]
    with subprocess.Popen(command) as server:
        deadline = time.monotonic() + 20
        while not Paths(config).control_socket.is_socket():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield config
        server.terminate()
    assert not Paths(config).control_socket.exists()
    Paths(config).clean()
    shutil.rmtree(directory)


def other_user(config: Config, operation: str, **arguments: object) -> tuple[Any, str]:
    """(answer, error) that another user gets: a fork, as that user may not read this Python."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        answer: tuple[Any, str] = None, "died"
        try:
            os.setgid(OTHER_UID)
            os.setuid(OTHER_UID)
            answer = perform(config, operation, arguments), ""
        except OperatorError as error:
            answer = None, str(error)
        finally:
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        answer_and_error = json.loads(told.read())
    os.waitpid(pid, 0)
    return answer_and_error[0], answer_and_error[1]


def test_nobody_may_anything_at_first(config: Config) -> None:
    answer, error = other_user(config, "participants list")
    assert answer is None
    assert f"uid:{OTHER_UID} may not participants list" in error
    assert "participants:read" in error
    last = perform(config, "audit tail", {"count": 1})[0]
    assert (last["actor"], last["outcome"]) == (
        f"uid:{OTHER_UID}", "refused: lacks participants:read"
    )  # fmt: skip


def test_a_granted_role_holds_at_once_and_ends_at_once(config: Config) -> None:
    grant = {"identity": f"uid:{OTHER_UID}", "role": "operator"}
    perform(config, "access grant", grant)
    answer, _ = other_user(config, "participants add", name="ACME")
    assert answer["name"] == "ACME"
    _, error = other_user(config, "access grant", identity=f"uid:{OTHER_UID}", role="key-admin")
    assert "lacks the permission access:write" in error
    perform(config, "access revoke", grant)
    _, error = other_user(config, "participants list")
    assert "lacks the permission participants:read" in error


def test_no_operation_on_a_callers_files_is_there(config: Config) -> None:
    _, error = other_user(config, "config decrypt", file="/etc/passwd")
    assert "is for the owner" in error


def test_nonsense_is_answered_and_hunger_is_bounded(config: Config) -> None:
    socket_file = str(Paths(config).control_socket)
    for line, says in ((b"{}\n", b"not a request"), (b"[\n", b"not a request"),
                       (b'{"operation":"x","arguments":{}}\n', b"there is no operation"),
                       (b'{"operation":"access grant","arguments":{"a":1}}\n', b"not a request"),
                       (b"x" * (2 * REQUEST_BYTES_MAX), b"")):  # fmt: skip
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(10)
            peer.connect(socket_file)
            try:
                peer.sendall(line)
                answer = peer.recv(4_096)
            except OSError:
                answer = b""
            assert says in answer if says else answer == b""


def test_the_sockets_directory_is_the_owners(config: Config) -> None:
    directory = Paths(config).control_dir.lstat()
    assert directory.st_uid == os.getuid()
    assert stat.S_IMODE(directory.st_mode) == 0o755
