"""What may never happen: lost, executed twice, reordered, contradictory, limit breached, stuck.

The journals are the truth; what participants were told, what the matchers hold in memory and what
risk believes must agree with them, and the reports among themselves.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from rtes.common.records import (
    A_TURN,
    C_ACCOUNT,
    C_CL_ORD_ID,
    C_TYPE,
    CMD_LOGON,
    NOTICE_LOGON,
    decode_reports,
    gateway_of,
    home_shard,
)
from rtes.common.refusals import Code
from rtes.services.matcher.core import MatcherCore

from tests.simulation.client import SimClient
from tests.simulation.world import LIMITS, World

Row = list[Any]
Told = dict[int, dict[int, Row]]  # account -> report number -> report
# positions in an ExecutionReport
EXEC_TYPE, CL_ORD_ID, ORDER_ID, SYMBOL, SIDE, LEAVES, CUM = 3, 5, 6, 8, 9, 10, 11
ORDER_QTY, LAST_QTY, LAST_PX, MATCH_ID = 13, 15, 16, 17


def violations(world: World) -> list[str]:
    """All that is wrong with a run; empty when every promise was kept."""
    found: list[str] = []
    for shard in range(world.size.matchers):
        told = _journaled(world, shard, found)
        found += _lanes_have_no_holes(world, shard)
        found += _older_sessions_are_not_heard(world, shard)
        for account, reports in told.items():
            rows = [reports[n] for n in sorted(reports)]
            name = f"account {account} shard {shard}"
            found += _executed_once_and_in_order(name, rows)
            found += _within_limits(name, rows)
            found += _orders_add_up(name, rows)
        found += _trades_have_two_sides(told)
        for client, owner in zip(world.clients, world.accounts, strict=True):
            found += _as_journaled(client, shard, told[owner.id])
        if world.finished:
            found += _matcher_is_its_journal(world, shard)
        if world.patient:
            found += _nothing_out_of_order(told)
    for client in world.clients:
        found += client.contradictions
        if not client.done and not client.gone:
            waiting = dict(list(client.unanswered.items())[:5])
            found.append(f"stuck: {client.account} waits for {waiting}, at {client.position}")
    if world.finished:
        found += _risk_is_its_feed(world)
    return found


def _journaled(world: World, shard: int, found: list[str]) -> Told:
    """What a shard's journal tells everyone; numbers must have no gap."""
    told: Told = defaultdict(dict)
    next_seq, time_ns = 1, 0
    for block in world.blocks(shard):
        if block.first_seq != next_seq:
            found.append(f"lost: shard {shard} seq {next_seq} to {block.first_seq}")
        if block.time_ns <= time_ns:
            found.append(f"time goes back: shard {shard} seq {block.first_seq}")
        next_seq = block.first_seq + block.commands
        time_ns = block.time_ns + block.commands - 1
        for account, _first, _reports, _answered, data, _moves in block.chunks:
            for row in (list(r) for r in decode_reports(data) if r[0] != "A"):
                known = told[account].setdefault(row[2], row)
                if known != row:
                    found.append(f"contradictory: account {account} {known} and {row}")
                if row[2] > len(told[account]):
                    found.append(f"numbering: account {account} jumps to {row[2]}")
    return told


def _lanes_have_no_holes(world: World, shard: int) -> Iterator[str]:
    """Of each lane the matcher has every frame, in order; some come again when it restarted."""
    last: dict[int, tuple[int, int, int]] = {}
    seen: set[tuple[int, int, int, int]] = set()
    for block in world.blocks(shard):
        for lane, epoch, link_no, n, _commands, _verdicts in block.groups:
            if (lane, epoch, link_no, n) in seen:
                continue
            seen.add((lane, epoch, link_no, n))
            known = last.get(lane, (0, 0, -1))
            expected = known[2] + 1 if known[:2] == (epoch, link_no) else 0
            if (epoch, link_no) < known[:2] or n != expected:
                yield f"reordered: lane {lane} has {(epoch, link_no, n)} after {known}"
            last[lane] = (epoch, link_no, n)


def _older_sessions_are_not_heard(world: World, shard: int) -> Iterator[str]:
    """Once a shard knows of a session, it executes nothing that came by a gateway which has had
    no newer one. What came before and comes again, to a restarted matcher, is only answered."""
    last_turn: dict[tuple[int, int], int] = {}  # account, gateway -> turn, as the home shards gave
    for m in range(world.size.matchers):
        for block in world.blocks(m):
            for notice in (n for n in block.notices if n[0] == NOTICE_LOGON):
                if home_shard(notice[1], world.size.matchers) == m:
                    last_turn[notice[1], notice[2]] = notice[4]
    newest: dict[int, int] = {}  # account -> turn
    known: set[tuple[int, int]] = set()  # account, cl_ord_id
    for block in world.blocks(shard):
        seq = block.first_seq
        for lane, _epoch, _link_no, _n, commands, verdicts in block.groups:
            passed_over = {v[0] for v in verdicts if v[1] == Code.REPLACED_SESSION}
            for i, command in enumerate(commands):
                account, turn = command[C_ACCOUNT], newest.get(command[C_ACCOUNT], 0)
                if command[C_TYPE] == CMD_LOGON:
                    newest[account] = max(turn, command[A_TURN] or seq)
                elif command[C_CL_ORD_ID] and i not in passed_over:
                    key = account, command[C_CL_ORD_ID]
                    if key not in known and last_turn.get((account, gateway_of(lane)), 0) < turn:
                        yield f"an older session: account {account} {command} by lane {lane}"
                    known.add(key)
                seq += 1


def _nothing_out_of_order(told: Told) -> Iterator[str]:
    """Who asked once, over a gateway that lived, was taken at its word: no id came too late."""
    for account, reports in told.items():
        for row in reports.values():
            codes = row[22:23] if row[0] == "8" else row[9:10] if row[0] == "9" else []
            if codes == [Code.OUT_OF_ORDER]:
                yield f"reordered: account {account} {row}"


def _executed_once_and_in_order(name: str, rows: list[Row]) -> Iterator[str]:
    """An order has one New, and an account's orders got theirs in the order of their ids."""
    new = [row[CL_ORD_ID] for row in rows if row[0] == "8" and row[EXEC_TYPE] == "0"]
    if len(set(new)) != len(new):
        yield f"executed twice: {name} {new}"
    if new != sorted(new):
        yield f"reordered: {name} {new}"


def _within_limits(name: str, rows: list[Row]) -> Iterator[str]:
    position: dict[str, int] = defaultdict(int)
    open_orders: dict[int, bool] = {}
    for row in (r for r in rows if r[0] == "8" and r[ORDER_ID]):
        if row[EXEC_TYPE] == "F":
            position[row[SYMBOL]] += row[LAST_QTY] if row[SIDE] == "1" else -row[LAST_QTY]
            if abs(position[row[SYMBOL]]) > LIMITS.position_max:
                yield f"limit: {name} {row[SYMBOL]} at {position[row[SYMBOL]]}"
        if row[LEAVES]:
            open_orders[row[ORDER_ID]] = True
        else:
            open_orders.pop(row[ORDER_ID], None)
        if len(open_orders) > LIMITS.open_orders_max:
            yield f"limit: {name} has {len(open_orders)} open orders"


def _orders_add_up(name: str, rows: list[Row]) -> Iterator[str]:
    """What was filled is what the fills say, and what is left is the rest."""
    filled: dict[int, int] = defaultdict(int)
    ended: dict[int, bool] = {}
    for row in (r for r in rows if r[0] == "8" and r[ORDER_ID]):
        order_id = row[ORDER_ID]
        if ended.get(order_id):
            yield f"contradictory: {name} order {order_id} lives on after its end: {row}"
        if row[EXEC_TYPE] == "F":
            filled[order_id] += row[LAST_QTY]
        if row[CUM] != filled[order_id]:
            yield f"quantity: {name} order {order_id} cum {row[CUM]} not {filled[order_id]}"
        if row[LEAVES] == 0:
            ended[order_id] = True
        elif row[LEAVES] + row[CUM] != row[ORDER_QTY]:
            yield f"quantity: {name} order {order_id} does not add up: {row}"


def _trades_have_two_sides(told: Told) -> Iterator[str]:
    sides: dict[int, list[Any]] = defaultdict(list)
    for reports in told.values():
        for row in reports.values():
            if row[0] == "8" and row[EXEC_TYPE] == "F":
                sides[row[MATCH_ID]].append((row[SIDE], row[SYMBOL], row[LAST_QTY], row[LAST_PX]))
    for match_id, both in sides.items():
        if sorted(s[0] for s in both) != ["1", "2"] or both[0][1:] != both[1][1:]:
            yield f"quantity: trade {match_id} is {both}"


def _as_journaled(client: SimClient, shard: int, told: dict[int, Row]) -> Iterator[str]:
    """Everything that a participant was told stands in the journal."""
    for (at, number), row in client.reports.items():
        if at == shard and told.get(number) != row:
            yield f"lost: {client.account} was told {row}, the journal says {told.get(number)}"


def _matcher_is_its_journal(world: World, shard: int) -> Iterator[str]:
    """Executing the journal again gives what the matcher holds; who left has no orders there."""
    live, again = world.engines[shard], world.engine(shard)
    core = MatcherCore(shard, 1, again)
    for block in world.blocks(shard):
        if not core.replay(block):
            yield f"contradictory: shard {shard} block {block.first_seq} differs on replay"
            return
    if live.digest() != again.digest():
        yield f"contradictory: matcher {shard} is not what its journal says"
    for client, account in zip(world.clients, world.accounts, strict=True):
        p = again.participants.get(account.id)
        left = list(p.orders) if p is not None else []
        if client.cancel_on_disconnect == 2 and left:
            yield f"not canceled: {client.account} left shard {shard} with orders {left}"


def _risk_is_its_feed(world: World) -> Iterator[str]:
    """Risk holds what a risk that read the journals anew would hold: nothing stays reserved."""
    for shard in range(world.size.risks):
        live, again = world.projections[shard], world.rules(shard)
        for m in range(world.size.matchers):
            for block in world.blocks(m):
                again.apply_block(block)
        for account in world.accounts:
            now, then = live.usage(account.id), again.usage(account.id)
            if now != then:
                yield f"exposure: risk {shard} account {account.name} {now} not {then}"
