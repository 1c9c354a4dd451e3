"""A hash of everything that decides what an engine will do next.

Two engines that executed the same commands have the same digest, in any process. Where the order
of a mapping decides something (who is canceled first), it is part of the state.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from rtes.common.records import encode
from rtes.services.matcher.book import Book, BookSide
from rtes.services.matcher.orders import Order, Participant


def digest(
    books: Mapping[str, Book],
    participants: Mapping[int, Participant],
    orders: Iterable[int],
    counters: tuple[int, ...],
) -> bytes:
    """16 bytes; orders are the ids of all open orders as they came."""
    state = (
        [_book(books[symbol]) for symbol in sorted(books)],
        [_participant(participants[account]) for account in sorted(participants)],
        list(orders),
        counters,
    )
    return hashlib.blake2b(encode(state), digest_size=16).digest()


def _book(book: Book) -> tuple[Any, ...]:
    return (
        book.symbol,
        book.last_px,
        book.halted,
        _side(book.bids),
        _side(book.asks),
        [_order(o) for stops in (book.buy_stops, book.sell_stops) for o in stops.waiting()],
    )


def _side(side: BookSide) -> list[Any]:
    return [_order(order) for level in side.ordered() for order in level.queue()]


def _order(o: Order) -> tuple[Any, ...]:
    return (
        o.order_id, o.owner.account, o.cl_ord_id, o.side, o.ord_type, o.time_in_force, o.price,
        o.stop_px, o.order_qty, o.leaves, o.cum, o.shown, o.display_qty, o.min_qty, o.exec_inst,
        o.expire_ns, o.smp_id, o.smp_instruction,
    )  # fmt: skip


def _participant(p: Participant) -> tuple[Any, ...]:
    return (
        p.account, p.mark, p.next_seq_num, list(p.orders), list(p.outcomes), p.gateway,
        p.session, p.cancel_on_disconnect, p.suspended, p.session_suspended,
    )  # fmt: skip
