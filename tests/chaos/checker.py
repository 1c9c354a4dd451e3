"""Compares what participants were told, by their own files, with what the journal says.

Every way in which the promise can be broken is counted by name; the texts say where. The journal
is executed once more in an engine that was never killed, and once from the newest snapshot.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.enums import ExecType, Side
from rtes.common.journal import Reader
from rtes.common.records import decode_block
from rtes.common.refdata import load_accounts
from rtes.common.refusals import Code
from rtes.common.snapshots import ENGINE, Snapshots
from rtes.services.matcher.core import MatcherCore
from rtes.services.matcher.recovery import recover, restore

from tests.chaos.trader import Diary
from tests.meshes import Numbered, Reckoning, audit, check_trades, new_engine, told

KINDS: Final = ("lost", "executed_twice", "reordered", "contradictory", "limit_breached", "stuck")


@dataclass
class Findings:
    """How often the promise was broken, by kind; texts has the first few of each."""

    counts: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)

    def add(self, kind: str, text: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= 5:
            self.texts.append(f"{kind}: {text}")

    def update(self, other: "Findings") -> None:
        self.counts += other.counts
        self.texts += other.texts


def check_all(mesh: Mesh, diaries: Mapping[str, Diary], kept: Path) -> Findings:
    """Everything that one run of a mesh is to be checked for; the mesh is quiet. kept has a
    directory with the whole journal of each matcher shard."""
    found = Findings()
    journals = []
    try:
        for shard in range(mesh.config.mesh.matcher_shards):
            journals.append(told(mesh, kept / str(shard)))
            check_trades(journals[shard])
            check_digest(mesh, kept / str(shard), shard)
    except AssertionError as error:
        found.add("contradictory", f"the journal with itself: {error}")
        return found
    limits = {a.name: a.limits for a in load_accounts(mesh.paths.accounts_file).accounts}
    for name, diary in diaries.items():
        for journal in journals:
            check_order(found, name, journal[name])
        everything = [report for journal in journals for report in journal[name]]
        check_diary(found, name, diary, everything)
        check_limit(found, name, everything, limits[name].position_max)
    return found


def check_digest(mesh: Mesh, journal_dir: Path, shard: int) -> None:
    """From the beginning and from the newest snapshot the journal leads to the same state."""
    whole = audit(mesh, journal_dir, shard)
    saved = Snapshots(mesh.paths.snapshots_dir(shard)).newest(ENGINE)
    if saved is None:
        return
    engine = new_engine(mesh, shard)
    core = MatcherCore(shard, 1, engine)
    restore(core, engine, saved[0])
    seq = saved[0].point.seq
    after = Reader(mesh.paths.journal_dir(shard)).blocks_from(seq + 1)
    recover(core, ((block, data) for block, data in after if decode_block(data).first_seq > seq))
    assert engine.digest() == whole.digest(), f"the snapshot at {seq} leads elsewhere"


def check_diary(found: Findings, name: str, diary: Diary, journal: list[Numbered]) -> None:
    """What was told is in the journal, all of the journal was told, and all was answered."""
    seen: dict[tuple[int, int], Numbered] = {}
    for report in diary.told:
        number = report.appl_id, report.appl_seq_num
        if seen.setdefault(number, report) != report:
            found.add("contradictory", f"{name} was told {report} and {seen[number]}")
    for report in journal:
        own = seen.pop((report.appl_id, report.appl_seq_num), None)
        if own is None:
            found.add("lost", f"{name} was never told {report}")
        elif own != report:
            found.add("contradictory", f"{name} was told {own}, the journal has {report}")
    for report in seen.values():
        found.add("lost", f"{name} was told {report}, which the journal does not have")
    check_belief(found, name, diary, journal)


def check_belief(found: Findings, name: str, diary: Diary, journal: list[Numbered]) -> None:
    belief = diary.belief
    if belief is None or belief.failure or belief.in_flight:
        found.add("stuck", f"{name}: {belief}")
        return
    answered = {r.cl_ord_id for r in journal}
    for cl_ord_id in range(1, belief.next_id):
        if (cl_ord_id in answered) == (cl_ord_id in diary.refused):
            kind = "contradictory" if cl_ord_id in answered else "lost"
            found.add(kind, f"{name}: request {cl_ord_id}, refused and answered, or neither")
    for _ in range(belief.reports_lost + belief.frames_bad):
        found.add("lost", f"{name} could not read or was not told a report")
    reckoning = Reckoning.of(journal)
    still_open = {i: o for i, o in reckoning.orders.items() if o[2]}
    if (belief.positions, belief.open_orders) != (reckoning.positions, still_open):
        found.add("contradictory", f"{name} believes {belief.positions} {belief.open_orders}")
    rows = {row.symbol: row for row in belief.usage}
    held = {symbol: row.net_qty for symbol, row in rows.items() if symbol and row.net_qty}
    open_qty = rows[""].open_buy_qty + rows[""].open_sell_qty
    if (held, rows[""].open_orders, open_qty) != (
        {symbol: qty for symbol, qty in reckoning.positions.items() if qty},
        len(still_open),
        sum(leaves for _, _, leaves in still_open.values()),
    ):
        found.add("contradictory", f"{name}: risk holds {held}, {rows['']}")


def check_order(found: Findings, name: str, journal: list[Numbered]) -> None:
    """No cl_ord_id became two orders; requests had their effect in the order of their ids. Those
    refused as OUT_OF_ORDER had none: cancels pass when orders are BUSY, and overtake repeats."""
    fresh: set[int] = set()
    last = 0
    known: set[int] = set()
    for report in journal:
        if isinstance(report, m.ExecutionReport) and report.exec_type is ExecType.NEW:
            if report.cl_ord_id in fresh:
                found.add("executed_twice", f"{name}: {report}")
            fresh.add(report.cl_ord_id)
        if report.cl_ord_id not in known and code_of(report) != Code.OUT_OF_ORDER:
            known.add(report.cl_ord_id)
            if report.cl_ord_id < last:
                found.add("reordered", f"{name}: {report.cl_ord_id} after {last}")
            last = max(last, report.cl_ord_id)


def code_of(report: Numbered) -> int:
    """Why it was refused; 0 when it was not."""
    return getattr(report, "reject_code", 0)


def check_limit(found: Findings, name: str, journal: list[Numbered], position_max: int) -> None:
    """At every fill the account's position is within its limit."""
    position: Counter[str] = Counter()
    for report in journal:
        if isinstance(report, m.ExecutionReport) and report.exec_type is ExecType.TRADE:
            sign = 1 if report.side == Side.BUY else -1
            position[report.symbol] += sign * report.last_qty
            if abs(position[report.symbol]) > position_max:
                found.add("limit_breached", f"{name}: {position[report.symbol]} at {report}")
