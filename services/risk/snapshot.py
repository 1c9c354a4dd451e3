"""The projection as plain values, so that risk can start from a point of the feed.

Invariants: a Risk that restores a state and follows the feed from there is as one that followed
it from the start; equal projections give equal states, whatever their history. What is in
flight, and ids that only risk has seen, are not part of it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from rtes.services.risk.exposure import Exposure, Ledger, Market, Order


def state(markets: Iterable[Market], exposures: Iterable[Exposure]) -> dict[str, Any]:
    """Shape: {"markets": [[symbol, reference, match_id, halted]], "accounts": [[account,
    suspended, session_suspended, turn, gateway, [[shard, mark]], [[symbol, net_qty, cost,
    suspended]], [[symbol, cl_ord_id, buy, leaves, cum, price]]]]}, everything sorted."""
    return {
        "markets": sorted([m.symbol, m.reference, m.match_id, m.halted] for m in markets),
        "accounts": sorted(_account(exposure) for exposure in exposures),
    }


def _account(exposure: Exposure) -> list[Any]:
    seen = [[s, w.told_mark] for s, w in exposure.ledgers.items() if w.told_mark]
    positions = [
        [symbol, p.net_qty, p.cost, p.suspended]
        for symbol, p in exposure.positions.items()
        if p.net_qty or p.suspended
    ]
    orders = [row for ledger in exposure.ledgers.values() for row in _orders(ledger)]
    return [
        exposure.account, exposure.suspended, exposure.session_suspended,
        exposure.told_turn, exposure.told_gateway, sorted(seen), sorted(positions), sorted(orders),
    ]  # fmt: skip


def _orders(ledger: Ledger) -> list[list[Any]]:
    return [
        [o.position.market.symbol, o.cl_ord_id, o.buy, o.leaves, o.cum, o.price]
        for cl_ord_id, o in ledger.orders.items()
        if o.confirmed and o.cl_ord_id == cl_ord_id
    ]


def restore(
    saved: Mapping[str, Any], markets: Mapping[str, Market], exposures: Mapping[int, Exposure]
) -> None:
    """Take in a state; accounts and symbols that are not here any more are passed over."""
    for symbol, reference, match_id, halted in saved["markets"]:
        market = markets.get(symbol)
        if market is not None:
            market.traded(match_id, reference)
            market.halted |= halted
    for row in saved["accounts"]:
        exposure = exposures.get(row[0])
        if exposure is not None:
            _restore_account(exposure, row)


def _restore_account(exposure: Exposure, row: list[Any]) -> None:
    _, suspended, session_suspended, turn, gateway, seen, positions, orders = row
    exposure.suspended |= suspended
    exposure.session_suspended |= session_suspended
    exposure.told_logon(turn, gateway)
    for shard, mark in seen:
        exposure.ledger(shard).saw(mark)
    for symbol, net_qty, cost, halted in positions:
        position = exposure.position(symbol)
        if position is not None:
            position.net_qty, position.cost, position.suspended = net_qty, cost, halted
            position.value()
    for symbol, cl_ord_id, buy, leaves, cum, price in orders:
        position = exposure.position(symbol)
        if position is not None:
            order = Order(position, cl_ord_id, buy, leaves, price)
            order.cum = cum
            order.confirmed = True
            position.add(order)
            position.hold(order, *order.worst())
