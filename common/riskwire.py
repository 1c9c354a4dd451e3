"""What risk publishes to the gateways: what it expects on their lanes, and answers to questions.

Neither is durable: a status comes again by itself, a question is asked again by who asked.
"""

import struct
from typing import Any, Final

from rtes.common.records import encode

QUERY: Final = 65_535  # in place of a lane: a question to risk, outside the links
TOPIC_STATUS: Final = b"S"
TOPIC_ANSWER: Final = b"R"


def status_frame(shard: int, epoch: int, entries: list[Any]) -> bytes:
    """entries as link.Receiver gives them."""
    return TOPIC_STATUS + encode((shard, epoch, entries))


def answer_topic(gateway: int) -> bytes:
    """What a gateway subscribes to for the answers to its questions."""
    return TOPIC_ANSWER + struct.pack(">H", gateway)
