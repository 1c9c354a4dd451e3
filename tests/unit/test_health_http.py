"""The HTTP server: every bad request has its answer, and a bad client costs only itself."""

import asyncio
import base64
import contextlib
import time
from collections.abc import Awaitable, Callable

import pytest
from rtes.common import httpserver as http
from rtes.common.httpserver import Request, Response, Server, ServerThread, Site
from rtes.common.service import boot

Ask = Callable[[bytes], Awaitable[bytes]]
OK = b"GET /ready HTTP/1.1\r\n\r\n"


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def echo(request: Request) -> Response:
    seen = "authorized" if request.authorized else "stranger"
    return Response(200, "text/plain", f"{request.path} {seen}".encode())


def over_http(
    scenario: Callable[[Ask, int], Awaitable[None]], token: str | None = None
) -> None:
    """Run a scenario against a server; ask(request) returns all that comes back."""

    async def run() -> None:
        site = Site(echo, {"/events": lambda: b"{}"}, token)
        server = await Server(site).listen("127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def ask(request: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            try:
                return await reader.read()
            except ConnectionResetError:
                return b""
            finally:
                await close(writer)

        async with server:
            await scenario(ask, port)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("request_", "status", "end"),
    [
        (b"GET /ready?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", b"200", b"\r\n\r\n/ready authorized"),
        (b"HEAD /ready HTTP/1.0\r\n\r\n", b"200", b"\r\n\r\n"),
        (b"POST / HTTP/1.1\r\n\r\n", b"405", b"only GET and HEAD\n"),
        (b"\x16\x03\x01\r\n\r\n", b"400", b"request\n"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", b"200", b"authorized"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", b"431", b"8192 bytes\n"),
        (b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"413", b"no body\n"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"413", b"no body\n"),
    ],
)
def test_requests(request_: bytes, status: bytes, end: bytes) -> None:
    async def scenario(ask: Ask, _port: int) -> None:
        answer = await ask(request_)
        assert answer.split(b" ")[1] == status
        assert answer.endswith(end)

    over_http(scenario)


def test_a_slow_client_is_told_and_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_S_MAX", 0.2)

    async def scenario(ask: Ask, _port: int) -> None:
        async with asyncio.timeout(2):
            assert (await ask(b"GET / HTTP/1.1\r\n")).startswith(b"HTTP/1.1 408 ")

    over_http(scenario)


def test_idle_connections_make_room_oldest_first() -> None:
    async def scenario(ask: Ask, port: int) -> None:
        held = [
            await asyncio.open_connection("127.0.0.1", port) for _ in range(http.CONNECTIONS_MAX)
        ]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        assert b" 200 " in await ask(OK)
        assert time.monotonic() - began < 0.05
        assert b" 408 " in await held[0][0].read()
        held[1][1].write(OK)  # the others were left in peace
        assert b" 200 " in await held[1][0].read()
        for _, writer in held:
            await close(writer)

    over_http(scenario)


def test_only_who_has_the_token_is_authorized() -> None:
    async def scenario(ask: Ask, _port: int) -> None:
        with_token = OK[:-2] + b"Authorization: Bearer secret\r\n\r\n"
        basic = b"Basic " + base64.b64encode(b"anybody:secret")
        with_password = with_token.replace(b"Bearer secret", basic)
        for good in (with_token, with_password):
            assert (await ask(good)).endswith(b"authorized")
        for other in (OK, with_token.replace(b"secret", b"secre"), with_token[:-10] + b"\r\n\r\n"):
            assert (await ask(other)).endswith(b"stranger")

    over_http(scenario, "secret")


def test_streams_are_few_and_send_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "STREAM_INTERVAL_S", 0.01)
    monkeypatch.setattr(http, "STREAMS_MAX", 1)

    async def scenario(ask: Ask, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events HTTP/1.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"text/event-stream" in head
        for _ in range(3):
            assert await reader.readuntil(b"\n\n") == b"data: {}\n\n"
        assert b" 503 " in await ask(b"GET /events HTTP/1.1\r\n\r\n")
        await close(writer)
        async with asyncio.timeout(2):
            while b" 503 " in await ask(b"HEAD /events HTTP/1.1\r\n\r\n"):
                await asyncio.sleep(0.01)

    over_http(scenario)


def test_a_server_that_cannot_listen_says_why() -> None:
    with pytest.raises(OverflowError, match="0-65535"):
        ServerThread(Site(echo, {}), "127.0.0.1", 70_000, None)


@pytest.mark.parametrize("port", ["70000", "0", "-1"])
def test_a_probe_port_that_is_none_is_refused(
    port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        boot("risk", ["--probe-port", port])
    assert f"{port} is no port: 1 to 65535" in capsys.readouterr().err
