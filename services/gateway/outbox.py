"""What leaves the gateway: telling participants. The loop takes outbox after each batch."""

from collections.abc import Sequence
from typing import Final

from rtes.common import messages as m
from rtes.common.connections import CUT_OFF, HANG_UP
from rtes.common.loop import Send
from rtes.services.gateway.sessions import Session

CLIENTS: Final = 1  # channel (ROUTER): participants


class Outbox:
    """The sending half of a gateway's core."""

    def __init__(self) -> None:
        self.outbox: list[Send] = []

    def _tell(self, routing_id: bytes, message: m.Outbound | Sequence[m.Outbound]) -> None:
        self.outbox.append((CLIENTS, routing_id, m.encode(message)))

    def _tell_all(self, routing_id: bytes, messages: Sequence[m.Outbound]) -> None:
        if messages:
            self._tell(routing_id, messages[0] if len(messages) == 1 else messages)

    def _end_connection(self, routing_id: bytes, told: bool) -> None:
        """told: it was sent why, and that is to arrive."""
        self.outbox.append((CLIENTS, routing_id, HANG_UP if told else CUT_OFF))

    def _tell_session(self, session: Session, message: m.Outbound, now_ns: int) -> None:
        session.sent_ns = now_ns
        self._tell(session.routing_id, message)

    def _ask(self, session: Session, channel: int, query: bytes | m.BusinessMessageReject) -> None:
        """Send a session's query on, or tell it why not."""
        if isinstance(query, bytes):
            self.outbox.append((channel, None, query))
        else:
            self._tell(session.routing_id, query)
