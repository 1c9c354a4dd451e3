"""What tests of the whole exchange share: the journal's word on what happened, and a reckoning.

Nothing here asks a running service: what a participant was told is compared with what lies on
disk, and `audit` executes the whole journal once more in one engine that was never killed, so a
matcher whose restarts lost or changed anything is found out by its later blocks.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import zmq
from rtes.client import Client, Credentials
from rtes.client.connection import open_socket
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.enums import ExecType, OrdStatus, Side
from rtes.common.flagwire import FeatureFlagReport
from rtes.common.journal import Reader
from rtes.common.records import Block, decode_block
from rtes.common.refdata import Accounts, Limits, load_accounts, load_instruments
from rtes.services.matcher.core import MatcherCore
from rtes.services.matcher.engine import Engine

Numbered = (
    m.ExecutionReport
    | m.OrderCancelReject
    | m.OrderMassCancelReport
    | m.OrderMassStatusReport
    | m.PartyActionReport
    | FeatureFlagReport
)
_decode_report: Callable[[bytes], m.Outbound] = msgspec.msgpack.Decoder(m.Outbound).decode
_decode_reports = msgspec.msgpack.Decoder(list[m.Outbound]).decode


def connect(mesh: Mesh, account: str, **arguments: object) -> Client:
    """A client of this mesh that waits longer than a busy machine takes."""
    arguments.setdefault("timeout_s", 20.0)
    return Client.connect(account, config=mesh.config, **arguments)  # type: ignore[arg-type]


def limit(mesh: Mesh, account: str, **limits: object) -> None:
    """Give an account limits of its own; before the mesh starts."""
    path = mesh.paths.accounts_file
    known = load_accounts(path).accounts
    own = Limits.model_validate(limits)
    known = [a.model_copy(update={"limits": own}) if a.name == account else a for a in known]
    path.write_text(Accounts(accounts=known).model_dump_json(exclude_unset=True))


def blocks(mesh: Mesh, directory: Path | None = None) -> Iterator[Block]:
    """All of the first shard's journal, or of the one in directory."""
    for _, payload in Reader(directory or mesh.paths.journal_dir(0)).blocks_from(1):
        yield decode_block(payload)


def told(mesh: Mesh, directory: Path | None = None) -> dict[str, list[Numbered]]:
    """What the journal says each account was told, in order; a repeat must say the same."""
    names = {a.id: a.name for a in load_accounts(mesh.paths.accounts_file).accounts}
    by_account: dict[str, list[Numbered]] = {name: [] for name in names.values()}
    for block in blocks(mesh, directory):
        for account, _first, _reports, _answered, data, _moves in block.chunks:
            known = by_account[names[account]]
            for report in _decode_reports(data):
                if not isinstance(report, Numbered):
                    continue
                if report.appl_seq_num == len(known) + 1:
                    known.append(report)
                else:
                    assert known[report.appl_seq_num - 1] == report
    return by_account


def new_engine(mesh: Mesh, shard: int = 0) -> Engine:
    """As the matcher of that shard begins with."""
    shards = mesh.config.mesh.matcher_shards
    listed = load_instruments(mesh.config.exchange.instruments, shards).instruments
    own = [i for i in listed if i.shard == shard]
    return Engine(shard, own, mesh.config.exchange.day_end_ns)


def audit(mesh: Mesh, directory: Path | None = None, shard: int = 0) -> Engine:
    """Execute a journal in one engine without any restart; every block must come out the same."""
    engine = new_engine(mesh, shard)
    core = MatcherCore(shard, 1, engine)
    for block in blocks(mesh, directory):
        assert core.replay(block), f"block at {block.first_seq} came out differently"
    return engine


class Raw:
    """A participant's socket without the SDK's manners."""

    def __init__(self, mesh: Mesh, account: str) -> None:
        self.account = account
        self._received: deque[m.Outbound] = deque()
        self._context = zmq.Context()
        endpoint = mesh.config.serving("gateway").orders_endpoint
        self._socket = open_socket(endpoint, Credentials.of(account, mesh.paths), self._context)

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()

    def send(self, message: m.Inbound | list[m.Inbound] | bytes) -> None:
        self._socket.send(message if isinstance(message, bytes) else m.encode(message))

    def receive(self) -> m.Outbound:
        """The next message."""
        if not self._received:
            assert self._socket.poll(20_000), "no answer"
            frame = self._socket.recv()
            try:
                self._received += _decode_reports(frame)
            except msgspec.ValidationError:
                self._received.append(_decode_report(frame))
        return self._received.popleft()

    def ask(self, message: m.Inbound | list[m.Inbound] | bytes) -> m.Outbound:
        self.send(message)
        return self.receive()

    def logon(self) -> m.LogonReply:
        reply = self.ask(m.Logon(self.account))
        assert isinstance(reply, m.LogonReply)
        return reply


@dataclass
class Reckoning:
    """What reports add up to: (status, cum, leaves) by order_id, and net positions by symbol."""

    orders: dict[int, tuple[OrdStatus, int, int]] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    fills: int = 0

    @classmethod
    def of(cls, reports: Iterable[Numbered]) -> "Reckoning":
        reckoning = cls()
        for report in reports:
            if isinstance(report, m.ExecutionReport) and report.order_id:
                reckoning.add(report)
        return reckoning

    def add(self, report: m.ExecutionReport) -> None:
        self.orders[report.order_id] = (report.ord_status, report.cum_qty, report.leaves_qty)
        if report.exec_type is ExecType.TRADE:
            signed = report.last_qty if report.side == Side.BUY else -report.last_qty
            self.positions[report.symbol] = self.positions.get(report.symbol, 0) + signed
            self.fills += 1


def own_positions(client: Client) -> dict[str, int]:
    """The client's own reckoning of what it holds, flat symbols included."""
    return {symbol: position.qty for symbol, position in client.positions.items()}


def until(client: Client, done: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Poll until done() says so."""
    deadline = time.monotonic() + timeout_s
    while not done():
        session = client._session
        state = f"logged on: {session.logged_on}, unanswered: {session.unanswered}"
        assert time.monotonic() < deadline, f"waited in vain; {state}"
        client.poll(0.02)


def settle(client: Client) -> None:
    """Until everything this client asked is answered."""
    until(client, lambda: client.in_flight == 0)


def wait_for(done: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Until done() says so."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def stopped(mesh: Mesh, service: str) -> Iterator[None]:
    """The service does nothing meanwhile."""
    pid = mesh.processes[service].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def check_trades(by_account: dict[str, list[Numbered]]) -> None:
    """Every trade has two sides of the same size, and no number was used twice."""
    executions = [
        r for reports in by_account.values() for r in reports if isinstance(r, m.ExecutionReport)
    ]
    assert len({r.exec_id for r in executions}) == len(executions)
    sides: dict[int, list[m.ExecutionReport]] = {}
    for report in executions:
        if report.exec_type is ExecType.TRADE:
            sides.setdefault(report.trd_match_id, []).append(report)
    for one, other in sides.values():
        assert (one.last_qty, one.last_px) == (other.last_qty, other.last_px)
        assert {one.side, other.side} == {Side.BUY, Side.SELL}


def check_once(reports: Iterable[Numbered]) -> None:
    """No cl_ord_id of an account became two orders."""
    fresh = [
        r.cl_ord_id
        for r in reports
        if isinstance(r, m.ExecutionReport) and r.exec_type is ExecType.NEW
    ]
    assert len(set(fresh)) == len(fresh)
