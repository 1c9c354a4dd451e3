"""How much an order could trade now, found without trading: for FOK and min_qty.

Hidden quantity counts; what self-trade prevention would keep from trading does not. Levels are
taken whole where no order of the same self_match_prevention_id stands in them.
"""

from collections import deque
from typing import Final

from rtes.services.matcher.book import BookSide
from rtes.services.matcher.orders import Level, Order

CANCEL_NEWEST: Final = 1
CANCEL_OLDEST: Final = 2
CANCEL_BOTH: Final = 3  # what is none of these decrements


def available(side: BookSide, order: Order, limit: int, enough: int) -> int:
    """Lots that order would trade with side at limit or better (0: any price), exact below
    enough."""
    total = 0
    left = order.leaves  # after what trades and what prevention takes off
    at = len(side.ladder)
    while at and total < enough and left > 0:
        at -= 1
        level = side.ladder[at]
        if not side.reaches(level.price, limit):
            break
        traded = level.leaves
        taken = level.leaves
        if order.smp_id:
            traded, taken = _at_level(level, order, left, enough - total)
        total += min(traded, left)
        left -= taken
    return total


def _at_level(level: Level, order: Order, left: int, enough: int) -> tuple[int, int]:
    """(traded, traded or taken off order by prevention); the latter is all that is left of it
    when it goes no further."""
    ahead = own = 0
    resting = level.head
    while resting is not None and (own or ahead < enough):
        if resting.smp_id == order.smp_id:
            own += resting.leaves
        elif not own:
            ahead += resting.shown
        resting = resting.next
    if resting is not None:
        return ahead, left
    if own == 0:
        return level.leaves, level.leaves
    others = level.leaves - own
    if order.smp_instruction == CANCEL_OLDEST:
        return others, others
    if order.smp_instruction in (CANCEL_NEWEST, CANCEL_BOTH):
        return ahead, left  # what is hidden would queue up behind the own order
    if left >= level.leaves:
        return others, level.leaves
    return _until_used_up(level, order, left), left


def _until_used_up(level: Level, order: Order, left: int) -> int:
    """Traded at the level where decrementing and trading use up all that is left of order."""
    line = deque((o.shown, o.leaves - o.shown, o) for o in level.queue())
    traded = 0
    while left:
        shown, hidden, resting = line.popleft()
        if resting.smp_id == order.smp_id:
            left -= min(left, shown + hidden)
            continue
        qty = min(left, shown)
        left -= qty
        traded += qty
        if hidden:
            refill = min(resting.display_qty, hidden)
            line.append((refill, hidden - refill, resting))
    return traded
