"""A small HTTP/1.1 server for probes: GET and HEAD, one answer per connection.

A request's head must arrive within 5 s and 8 KiB, and 64 connections at most are open at once:
a slow or hungry client costs itself, never the exchange.
"""

import asyncio
import contextlib
import signal
import ssl
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Final

from rtes.services.health.views import Response

HEAD_S_MAX: Final = 5.0
HEAD_BYTES_MAX: Final = 8_192
CONNECTIONS_MAX: Final = 64
_TEXT: Final = "text/plain"


class Server:
    """Serves answer(path) on one address."""

    def __init__(self, answer: Callable[[str], Response]) -> None:
        self._answer = answer
        self._open = 0

    async def listen(
        self, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> asyncio.Server:
        limit = HEAD_BYTES_MAX
        return await asyncio.start_server(self._client, host, port, limit=limit, ssl=tls)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            async with asyncio.timeout(HEAD_S_MAX):
                writer.write(await self._exchange(reader))
                await writer.drain()
        except (TimeoutError, OSError):
            pass  # the peer's fault; it gets no answer
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader) -> bytes:
        if self._open > CONNECTIONS_MAX:
            return b""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            return _encode(Response(431, _TEXT, b"request head too large\n"))
        return self._handle(head)

    def _handle(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _encode(Response(400, _TEXT, b"not an HTTP/1.1 request\n"))
        method, target = words[0], words[1]
        if method not in (b"GET", b"HEAD"):
            return _encode(Response(405, _TEXT, b"only GET and HEAD\n"))
        response = self._answer(target.split(b"?", 1)[0].decode("latin-1"))
        return _encode(response, with_body=method == b"GET")


async def serve_beside(
    work: Coroutine[None, None, None],
    answer: Callable[[str], Response],
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until work ends or the process is told to stop; an error of work is raised."""
    server = await Server(answer).listen(host, port, tls)
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    server.close()


def _encode(response: Response, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (response.body if with_body else b"")
