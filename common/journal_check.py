"""Checks every byte of a journal: checksums, their chain, sequence numbers, what lies between."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rtes.common import blocks
from rtes.common.journal import first_seq_of, mapped, segments, used


class Checked(NamedTuple):
    """What was found up to the end of a segment; damage is "" when there is none. A torn tail is
    no damage: it is the block that was being written when the machine stopped."""

    segments: int = 0
    blocks: int = 0
    first_seq: int = 0
    last_seq: int = 0
    crc: int = 0  # of the last block
    epoch: int = 0
    epochs: int = 0
    torn_bytes: int = 0
    damage: str = ""


def check(directory: Path) -> Iterator[Checked]:
    """What was found so far, after each segment; the last one has damage or is the whole."""
    found = Checked()
    for path in segments(directory):
        found = _segment(found, path)
        yield found
        if found.damage:
            return


def _segment(found: Checked, path: Path) -> Checked:
    data = mapped(path)
    if found.torn_bytes and blocks.valid_after(data, 0) is not None:
        return found._replace(damage=f"blocks in {path.name} follow a torn one")
    if not found.blocks:
        found = found._replace(first_seq=first_seq_of(path), last_seq=first_seq_of(path) - 1)
    end, whole_to = 0, -1
    while True:
        found, end = _blocks(found, path, data, end)
        torn = used(data[end:])
        after = blocks.valid_after(data, end) if torn and not found.damage else None
        if after is None:
            break
        if after != end or end == whole_to:
            return found._replace(damage=f"{path.name}: byte {end}: damaged, and blocks follow")
        whole_to = end  # what was torn when we came to it has been written since: go on
    return found if found.damage else found._replace(segments=found.segments + 1, torn_bytes=torn)


def _blocks(found: Checked, path: Path, data: memoryview, end: int) -> tuple[Checked, int]:
    """What was found up to the first that is no block, from end on, and where that is."""
    for block in blocks.scan(data, found.crc if found.blocks else None, end):
        if block.first_seq != found.last_seq + 1 or block.epoch < found.epoch:
            told = f"block {block.first_seq} of epoch {block.epoch} is out of order"
            return found._replace(damage=f"{path.name}: byte {end}: {told}"), end
        end = block.end
        found = found._replace(
            blocks=found.blocks + 1,
            last_seq=block.first_seq + block.commands - 1,
            crc=block.crc,
            epoch=block.epoch,
            epochs=found.epochs + (block.epoch > found.epoch),
        )
    return found, end
