"""The flags of the matching engine: on or off by symbol, switched by a command like any other.

A switch is for the orders that come after it; what rests stays as it is. Flags are a book's state:
in snapshots, and the same in every replica.
"""

from collections.abc import Mapping
from typing import Final

from rtes.common.flags import NO_SELF_TRADES
from rtes.common.records import Command
from rtes.common.refusals import Code
from rtes.services.matcher.book import Book

ON: Final = 1  # FlagAction
TELL: Final = 2


def switched(books: Mapping[str, Book], command: Command) -> tuple[str, int]:
    """Execute a FeatureFlagRequest: the symbols where the flag is on now, and a reject code."""
    flag, action, symbol = command[4:7]
    if flag != NO_SELF_TRADES:
        return "", int(Code.INVALID_FIELDS)
    if symbol and symbol not in books:
        return "", int(Code.UNKNOWN_SYMBOL)
    if action != TELL:
        for book in books.values():
            if symbol in ("", book.symbol):
                book.no_self_trades = action == ON
    return ",".join(sorted(b.symbol for b in books.values() if b.no_self_trades)), 0
