"""Ports of meshes that are started at the same time."""

import socket

import pytest
from rtes.client import testing


def test_who_asks_before_the_ports_are_bound_gets_others() -> None:
    first, second = testing.free_offset(), testing.free_offset()
    assert first != second
    for offset in (first, second):
        testing.release_offset(offset)


def test_what_another_process_claimed_or_listens_on_is_passed_over() -> None:
    port = testing.free_port()
    with pytest.raises(OSError, match="in use"):
        testing._claim(port)
    testing.release_offset(port - 10_000)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(OSError, match="listens"):
        testing._claim(server.getsockname()[1])
