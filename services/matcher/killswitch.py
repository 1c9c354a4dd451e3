"""The kill switch: who and what may not trade until it is reinstated."""

from collections.abc import Mapping
from typing import Any, Final

from rtes.common.refusals import Code
from rtes.services.matcher.book import Book
from rtes.services.matcher.orders import Participant

REINSTATE: Final = 2


def action_refused(books: Mapping[str, Book], command: tuple[Any, ...]) -> int:
    """Why a PartyActionRequest is not done; 0: it is."""
    _action, name, symbol, session, account = command[4:9]
    code = Code.OK
    if name and not account:
        code = Code.NOT_AUTHORIZED
    elif symbol and symbol not in books:
        code = Code.UNKNOWN_SYMBOL
    elif session and not account:
        code = Code.INVALID_FIELDS
    return int(code)


def switch(
    books: Mapping[str, Book], participants: dict[int, Participant], command: tuple[Any, ...]
) -> None:
    """An account, its session, its trading in a symbol, a symbol, or all symbols."""
    action, _name, symbol, session, account = command[4:9]
    on = action != REINSTATE
    if not account:
        for book in books.values():
            if symbol in ("", book.symbol):
                book.halted = on
        return
    p = participants.get(account)
    if p is None:
        p = participants[account] = Participant(account)
    if session:
        p.session_suspended = on
        return
    p.suspended = [s for s in p.suspended if s != symbol]
    if on:
        p.suspended.append(symbol)
