"""What may never happen: lost, executed twice, reordered, contradictory, limit breached, stuck."""

from collections import defaultdict
from typing import Any

from rtes.common.records import decode_reports

from tests.simulation.world import LIMITS, World


def violations(world: World) -> list[str]:
    """All that is wrong with a run; empty when every promise was kept."""
    found: list[str] = []
    journaled = _journaled(world, found)
    _executed_once_and_in_order(journaled, found)
    _within_limits(journaled, found)
    for client in world.clients:
        found += client.contradictions
        account = next(a.id for a in world.accounts if a.name == client.account)
        told = journaled[account]
        if not client.done:
            waiting = [i for i in client.sent if i not in client.answered]
            found.append(f"stuck: {client.account} waits for {waiting[:5]}")
        for number, row in client.reports.items():
            if told.get(number) != row:
                found.append(f"lost: {client.account} was told {row}, journal {told.get(number)}")
    return found


def _journaled(world: World, found: list[str]) -> dict[int, dict[int, Any]]:
    """account -> report number -> report; numbers must have no gap."""
    told: dict[int, dict[int, Any]] = defaultdict(dict)
    for block in world.blocks():
        for account, _first, _reports, _answered, data in block.chunks:
            for row in (list(r) for r in decode_reports(data) if r[0] != "A"):
                known = told[account].setdefault(row[2], row)
                if known != row:
                    found.append(f"contradictory: account {account} {known} and {row}")
                if row[2] > len(told[account]):
                    found.append(f"numbering: account {account} jumps to {row[2]}")
    return told


def _executed_once_and_in_order(
    journaled: dict[int, dict[int, Any]], found: list[str]
) -> None:
    """An order has one New, and an account's orders got theirs in the order of their ids."""
    for account, reports in journaled.items():
        new = [reports[n][5] for n in sorted(reports) if _is_new(reports[n])]
        if len(set(new)) != len(new):
            found.append(f"executed twice: account {account} {new}")
        if new != sorted(new):
            found.append(f"reordered: account {account} {new}")


def _is_new(row: list[Any]) -> bool:
    return bool(row[0] == "8" and row[3] == "0")


def _within_limits(journaled: dict[int, dict[int, Any]], found: list[str]) -> None:
    for account, reports in journaled.items():
        position: dict[str, int] = defaultdict(int)
        for number in sorted(reports):
            row = reports[number]
            if row[0] == "8" and row[3] == "F":
                sign = 1 if row[9] == "1" else -1
                position[row[8]] += sign * row[14 + 1]
                if abs(position[row[8]]) > LIMITS.position_max:
                    found.append(f"limit: account {account} {row[8]} at {position[row[8]]}")
