"""A shard's snapshot, fetched from its archive by a service on another host.

The files come in pieces and as they are, so that damage is found here by their own checksum.
Waits for the archive as long as it takes: without a snapshot a start would ask for what is not
kept any more.
"""

import time
from collections.abc import Sequence
from typing import Final

from rtes.common import feed, logs
from rtes.common.curve import Reached
from rtes.common.snapshots import Snapshot, SnapshotError, parse
from rtes.common.sockets import Sockets

ANSWER_MS: Final = 2_000
TELL_S: Final = 10.0
_ARCHIVE: Final = 1  # channel


class _Archive:
    """Asks one archive, until it answers."""

    def __init__(self, sockets: Sockets, shard: int) -> None:
        self._sockets = sockets
        self._shard = shard

    def ask(self, seq: int, part: str, offset: int) -> feed.SnapshotPiece:
        began_s = told_s = time.monotonic()
        while True:
            request = feed.snapshot_request(self._shard, seq, part, offset)
            self._sockets.send(_ARCHIVE, None, request)
            for _ in self._sockets.wait(ANSWER_MS):
                for frame in self._sockets.receive(_ARCHIVE):
                    piece = feed.SnapshotPiece.of(frame)
                    if (piece.seq, piece.part, piece.offset) == (seq, part, offset):
                        return piece
            if (now_s := time.monotonic()) - told_s > TELL_S:
                told_s = now_s
                waited = {"feed": self._shard, "waited_s": round(now_s - began_s)}
                logs.get().warning("the archive does not answer", **waited)

    def read(self, seq: int, part: str) -> Snapshot:
        """Raises SnapshotError when it is damaged, or gone meanwhile."""
        where, data = f"{part} of snapshot {seq} of shard {self._shard}", bytearray()
        while True:
            piece = self.ask(seq, part, len(data))
            data += piece.data
            if len(data) >= piece.size:
                return parse(bytes(data), where)
            if not piece.data:
                raise SnapshotError(f"{where}: ends early")


def newest(archive: Reached, shard: int, parts: Sequence[str]) -> list[Snapshot] | None:
    """These parts of the newest snapshot in which all can be read; None: there is none."""
    sockets = Sockets()
    sockets.dealer(_ARCHIVE, *archive)
    source = _Archive(sockets, shard)
    try:
        for seq in reversed(source.ask(0, "", 0).seqs):
            try:
                return [source.read(seq, part) for part in parts]
            except SnapshotError as error:
                logs.get().warning("snapshot not taken", why=str(error))
        return None
    finally:
        sockets.close()
