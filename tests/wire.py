"""A man in the middle of a participant's TCP connection, for tests of what CURVE promises."""

import socket
import threading


class Wire:
    """A man in the middle: passes bytes on, keeps what the client sent, may flip one bit."""

    def __init__(self, port: int) -> None:
        self.seen = bytearray()
        self.tamper = False
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            for pair in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, outward: bool) -> None:
        try:
            while data := bytearray(source.recv(65_536)):
                if outward:
                    self.seen += data
                    if self.tamper and len(data) > 60:
                        self.tamper = False
                        data[-20] ^= 1
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()

    def close(self) -> None:
        self._listener.close()
