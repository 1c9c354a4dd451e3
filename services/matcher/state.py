"""Everything that decides what an engine will do next, as plain values, and its hash.

Two engines that executed the same commands have the same state, in any process; an engine that
takes a state in goes on as the one that gave it. Where the order of a mapping decides something
(who is canceled first), it is part of the state. Taken between blocks: nothing is half told.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from rtes.common.flags import NO_SELF_TRADES
from rtes.common.records import encode
from rtes.services.matcher.book import Book, BookSide
from rtes.services.matcher.orders import Order, Participant

OrderRow = tuple[Any, ...]  # see _order
Outcome = tuple[int, tuple[Any, ...], tuple[Any, ...]]


class BookState(NamedTuple):
    """One instrument; the orders of a side from the worst price to the best, first in first."""

    symbol: str
    last_px: int
    halted: bool
    bids: list[OrderRow]
    asks: list[OrderRow]
    stops: list[OrderRow]
    flags: tuple[str, ...] = ()  # that are on


class ParticipantState(NamedTuple):
    """One account; orders are its open ones' ids, as they came."""

    account: int
    mark: int
    next_seq_num: int
    orders: list[int]
    outcomes: list[Outcome]
    gateway: int
    turn: int
    cancel_on_disconnect: int
    suspended: list[str]
    session_suspended: bool


class EngineState(NamedTuple):
    """One matcher shard; orders are the ids of all open orders as they came."""

    books: list[BookState]
    participants: list[ParticipantState]
    orders: list[int]
    exec_id: int
    match_id: int


decode = msgspec.msgpack.Decoder(EngineState).decode


def digest(state: EngineState) -> bytes:
    """16 bytes."""
    return hashlib.blake2b(encode(state), digest_size=16).digest()


def book_state(book: Book) -> BookState:
    stops = [_order(o) for queue in (book.buy_stops, book.sell_stops) for o in queue.waiting()]
    sides = (_side(book.bids), _side(book.asks))
    flags = (NO_SELF_TRADES,) if book.no_self_trades else ()
    return BookState(book.symbol, book.last_px, book.halted, *sides, stops, flags)


def _side(side: BookSide) -> list[OrderRow]:
    return [_order(order) for level in reversed(side.ordered()) for order in level.queue()]


def _order(o: Order) -> OrderRow:
    """First what the order was made from, as in a NewOrderSingle."""
    return (
        o.cl_ord_id, o.symbol, o.side, o.order_qty, o.ord_type, o.price, o.time_in_force,
        o.stop_px, o.exec_inst, o.display_qty, o.min_qty, o.expire_ns, o.smp_id,
        o.smp_instruction, o.order_id, o.owner.account, o.leaves, o.cum, o.shown,
    )  # fmt: skip


def participant_state(p: Participant) -> ParticipantState:
    return ParticipantState(
        p.account, p.mark, p.next_seq_num, list(p.orders), list(p.outcomes), p.gateway,
        p.turn, p.cancel_on_disconnect, p.suspended, p.session_suspended,
    )  # fmt: skip


def restore_participant(state: ParticipantState) -> Participant:
    """Without its orders."""
    p = Participant(state.account)
    p.mark = state.mark
    p.next_seq_num = p.first_seq_num = state.next_seq_num
    p.outcomes.extend(state.outcomes)
    p.gateway, p.turn = state.gateway, state.turn
    p.cancel_on_disconnect = state.cancel_on_disconnect
    p.suspended, p.session_suspended = list(state.suspended), state.session_suspended
    return p


def restore_book(
    book: Book, state: BookState, participants: Mapping[int, Participant]
) -> list[Order]:
    """Fill an empty book; returns its orders."""
    book.last_px, book.halted = state.last_px, state.halted
    book.no_self_trades = NO_SELF_TRADES in state.flags
    resting = [_restored(row, participants) for row in (*state.bids, *state.asks)]
    for order, row in zip(resting, (*state.bids, *state.asks), strict=True):
        book.side_of(order).add(order)
        assert order.level is not None
        order.level.shown += row[-1] - order.shown  # an iceberg's slice may be part traded
        order.shown = row[-1]
    waiting = [_restored(row, participants) for row in state.stops]
    for order in waiting:
        book.stops_of(order).add(order)
    return resting + waiting


def _restored(row: OrderRow, participants: Mapping[int, Participant]) -> Order:
    *made_from, order_id, account, leaves, cum, _shown = row
    order = Order(participants[account], order_id, ("D", account, 0, *made_from))
    order.leaves, order.cum = leaves, cum
    return order
