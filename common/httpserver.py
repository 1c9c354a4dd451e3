"""A small HTTP/1.1 server for probes: GET and HEAD, one answer per connection.

A request's head must arrive within 5 s and 8 KiB and has no body; 64 connections at most wait for
theirs at once, and when one more comes the oldest of them goes: a slow or hungry client costs
itself, never the next one. It runs in a thread of its own, so that it answers whatever the rest
of the process does.
"""

import asyncio
import base64
import contextlib
import hmac
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

HEAD_S_MAX: Final = 5.0
HEAD_BYTES_MAX: Final = 8_192
CONNECTIONS_MAX: Final = 64
STREAMS_MAX: Final = 32
STREAM_INTERVAL_S: Final = 1.0
WRITE_S_MAX: Final = 5.0
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """A request's head. authorized: may see details; refusal: why not, when a certificate says
    who asks."""

    path: str
    query: str = ""
    accept: str = ""
    authorized: bool = True
    head_only: bool = False
    refusal: str = ""


@dataclass(frozen=True)
class Response:
    status: int
    content_type: str
    body: bytes


class BadRequest(Exception):  # noqa: N818 - named as its status is
    """The request's head cannot be answered; response says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.response = Response(status, _TEXT, text.encode() + b"\n")


@dataclass(frozen=True)
class Site:
    """What is served: answer(request), and under the paths of streams one event a second.

    With a token, only who shows it is authorized, as `Authorization: Bearer TOKEN` or as the
    password of Basic, which browsers ask for. With lacks, who shows a client's certificate for
    which it gives no reason against is, too. With neither, everybody is."""

    answer: Callable[[Request], Response]
    streams: Mapping[str, Callable[[], bytes]]
    token: str | None = None
    lacks: Callable[[bytes], str] | None = None

    def request(self, head: bytes, certificate: bytes = b"") -> Request:
        """Read a request's head; certificate is the client's, as DER. Raises BadRequest."""
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(400, "not an HTTP/1.1 request")
        if words[0] not in ("GET", "HEAD"):
            raise BadRequest(405, "only GET and HEAD")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            raise BadRequest(413, "a request here has no body")
        path, _, query = words[1].partition("?")
        refusal = self._refusal(_shown(headers.get("authorization", "")), certificate)
        accept, head_only = headers.get("accept", ""), words[0] == "HEAD"
        return Request(path, query, accept, refusal is None, head_only, refusal or "")

    def _refusal(self, shown: bytes, certificate: bytes) -> str | None:
        """None for who is authorized."""
        if self.token is not None and hmac.compare_digest(shown, self.token.encode()):
            return None
        if self.lacks is not None and certificate:
            return self.lacks(certificate) or None
        return None if self.token is None and self.lacks is None else ""


def _shown(authorization: str) -> bytes:
    """The token in an Authorization header; nothing when there is none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return value.encode()
    try:
        return base64.b64decode(value).partition(b":")[2]
    except ValueError:
        return b""


class Server:
    """Serves a site on one address."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._waiting: dict[asyncio.Task[bytes], None] = {}  # for their head, oldest first
        self._streams = 0

    async def listen(
        self, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> asyncio.Server:
        return await asyncio.start_server(
            self._client,
            host,
            port,
            limit=HEAD_BYTES_MAX,
            backlog=256,
            ssl=tls,
            ssl_handshake_timeout=HEAD_S_MAX if tls else None,
        )

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (TimeoutError, OSError, asyncio.CancelledError):
            pass  # the peer's fault, or the end of this process
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await self._head(reader)
            request = self._site.request(head, _certificate(writer))
        except BadRequest as bad:
            await _write(writer, _encode(bad.response))
            return
        except asyncio.IncompleteReadError:
            return
        if request.path in self._site.streams and request.authorized and not request.head_only:
            await self._stream(writer, self._site.streams[request.path])
            return
        response = self._site.answer(request)
        await _write(writer, _encode(response, with_body=not request.head_only))

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        """Until the empty line; whoever is slow is the first to go."""
        while len(self._waiting) >= CONNECTIONS_MAX:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.cancel()
        reading = asyncio.create_task(_read_head(reader))
        self._waiting[reading] = None
        try:
            return await reading
        except asyncio.CancelledError:
            if reading not in self._waiting:
                raise BadRequest(408, "request head too slow") from None
            raise
        finally:
            self._waiting.pop(reading, None)

    async def _stream(self, writer: asyncio.StreamWriter, event: Callable[[], bytes]) -> None:
        """Server-sent events, until the reader goes or does not keep up."""
        if self._streams >= STREAMS_MAX:
            text = b"too many watch already\n"
            await _write(writer, _encode(Response(503, _TEXT, text)))
            return
        self._streams += 1
        try:
            await _write(writer, _HEAD_OF_STREAM)
            while not writer.is_closing():
                await _write(writer, b"data: " + event() + b"\n\n")
                await asyncio.sleep(STREAM_INTERVAL_S)
        finally:
            self._streams -= 1


def _certificate(writer: asyncio.StreamWriter) -> bytes:
    """The client's, as DER; nothing when it showed none."""
    tls = writer.get_extra_info("ssl_object")
    return (tls.getpeercert(binary_form=True) or b"") if tls is not None else b""


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(HEAD_S_MAX):
            return (await reader.readuntil(b"\r\n\r\n"))[:-4]
    except TimeoutError:
        raise BadRequest(408, f"request head not here after {HEAD_S_MAX:g} s") from None
    except asyncio.LimitOverrunError:
        raise BadRequest(431, f"request head longer than {HEAD_BYTES_MAX} bytes") from None


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    async with asyncio.timeout(WRITE_S_MAX):
        await writer.drain()


@contextlib.asynccontextmanager
async def _listening(
    site: Site, host: str, port: int, tls: ssl.SSLContext | None
) -> AsyncIterator[None]:
    server = await Server(site).listen(host, port, tls)
    try:
        yield
    finally:
        server.close()


class ServerThread:
    """The server, in a thread of its own; it ends with the process."""

    def __init__(self, site: Site, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Returns when it listens. Raises OSError when the address cannot be had, and whatever
        else keeps it from listening."""
        self._listens = threading.Event()
        self._error: Exception | None = None
        thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(site, host, port, tls)), daemon=True
        )
        thread.start()
        self._listens.wait()
        if self._error is not None:
            raise self._error

    async def _serve(
        self, site: Site, host: str, port: int, tls: ssl.SSLContext | None
    ) -> None:
        try:
            async with _listening(site, host, port, tls):
                self._listens.set()
                await asyncio.Event().wait()
        except Exception as error:  # whatever it is, the constructor waits for it
            self._error = error
            self._listens.set()


_HEAD_OF_STREAM: Final = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream\r\n"
    b"Cache-Control: no-store\r\n"
    b"Connection: close\r\n\r\n"
)


def _encode(response: Response, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n"
    )
    if response.status == HTTPStatus.METHOD_NOT_ALLOWED:
        head += "Allow: GET, HEAD\r\n"
    if response.status == HTTPStatus.UNAUTHORIZED:
        head += 'WWW-Authenticate: Basic realm="rtes"\r\n'
    return f"{head}\r\n".encode("latin-1") + (response.body if with_body else b"")
