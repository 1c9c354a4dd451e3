"""Risk against the real engine: exposure is an exact projection, limits hold, nothing leaks.

Commands wait between risk and matcher, and blocks wait on their way back, as in the mesh. After
every step what risk reserves is summed anew; what the engine holds never exceeds the limits,
whatever was in flight; a risk that starts anew, or from a state, arrives at the same.
"""

from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rtes.common.enums import PartyAction, Role
from rtes.common.records import Block, Command, decode_reports, encode
from rtes.common.refdata import Account, Instrument, Limits
from rtes.services.matcher.engine import Engine
from rtes.services.risk.exposure import Exposure, Order, after_fill
from rtes.services.risk.rules import Risk

NOW_NS = 1_700_000_000_000_000_000
SYMBOLS = ("AAA", "BBB", "FAR")
INSTRUMENTS = [
    Instrument(symbol="AAA", reference_price=100),
    Instrument(symbol="BBB", reference_price=50),
    Instrument(symbol="FAR", reference_price=100, shard=1),
]
OPERATOR = 3
LIMITS = Limits(
    order_qty_max=60, notional_max=5_000, band_percent=20, orders_per_s_max=1_000,
    open_orders_max=6, position_max=100, credit_max=20_000,
)  # fmt: skip
ACCOUNTS = [
    Account(id=1, name="ONE", limits=LIMITS),
    Account(id=2, name="TWO", limits=LIMITS),
    Account(id=OPERATOR, name="OPS", role=Role.OPERATOR, limits=LIMITS),
]
TYPES = ("2", "2", "2", "1", "3", "4", "K")

Step = tuple[int, int, int, int]
steps = st.lists(
    st.tuples(st.integers(0, 15), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255)),
    min_size=5, max_size=60,
)  # fmt: skip


class World:
    """Risk, two matcher shards, and what is on its way between them."""

    def __init__(self) -> None:
        self.risk = Risk(INSTRUMENTS, ACCOUNTS)
        self.engines = [
            Engine(shard, [i for i in INSTRUMENTS if i.shard == shard]) for shard in (0, 1)
        ]
        self.queues: list[deque[tuple[Command, Any]]] = [deque(), deque()]
        self.feed: deque[Block] = deque()
        self.told: list[Block] = []  # what risk has followed
        self.seqs = [0, 0]
        self.now_ns = NOW_NS
        self.next_id = 0
        self.sent: list[tuple[int, Command]] = []
        self.positions: dict[tuple[int, str], int] = {}  # by the engine's trades
        self.approved = 0

    # ------------------------------------------------------------ one step

    def step(self, kind: int, a: int, b: int, c: int) -> None:
        self.now_ns += 1_000_000
        account = 1 + a % 2
        if kind <= 6:
            self.new(account, a // 2, b, c)
        elif kind <= 8:
            self.name_order("G", account, b, (1 + c % 60, 80 + b % 40, 0 if c % 5 else 100))
        elif kind == 9:
            self.name_order("F", account, b, ())
        elif kind == 10:
            self.again(b, c)
        elif kind == 11:
            self.rarely(account, a // 2, b)
        elif kind <= 13:
            self.match(a % 2, 1 + b % 8)
        elif kind == 14:
            self.follow(1 + b % 3)
        else:
            self.follow(len(self.feed))
        self.check_sums()

    def new(self, account: int, a: int, b: int, c: int) -> None:
        ord_type = TYPES[a % 7]
        price = 40 + a % 20 if c % 3 == 1 else 80 + a % 40
        tif = ("0", "1", "3", "4", "6", "1")[c // 3 % 6]
        stopped = ord_type in ("3", "4")
        fields = (
            SYMBOLS[c % 3], "12"[b % 2], 1 + b // 2 % 64, ord_type,
            price if ord_type in ("2", "4") else 0,
            tif, price - 3 + b % 7 if stopped else 0,
            "6" if ord_type == "2" and c > 200 and tif in "016" else "",
            1 if ord_type == "2" and b > 200 and tif in "016" else 0,
            1 if c > 240 else 0,
            self.now_ns + 50_000_000 if tif == "6" else 0, b % 2 * account, 1 + c % 4,
        )  # fmt: skip
        self.send(account, "D", *fields)

    def name_order(self, kind: str, account: int, pick: int, fields: tuple[Any, ...]) -> None:
        """Replace or cancel something sent lately, whatever became of it."""
        mine = [c for _, c in self.sent[-40:] if c[1] == account and c[0] in ("D", "G")]
        if mine:
            chosen = mine[-1 - pick % min(len(mine), 8)]
            self.send(account, kind, chosen[4], chosen[3], *fields)

    def again(self, pick: int, c: int) -> None:
        """Send an old request again, now and then with another content."""
        if self.sent:
            shard, command = self.sent[-1 - pick % len(self.sent)]
            if c % 4 == 0 and command[0] == "D":
                command = (*command[:6], 1 + c % 60, *command[7:])
            self.dispatch(shard, (*command[:2], self.now_ns, *command[3:]))

    def switch(self, action: int, name: str, symbol: str, session: int) -> None:
        """The kill switch."""
        number = next((a.id for a in ACCOUNTS if a.name == name), 0)
        self.send_to_all(OPERATOR, "DH", action, name, symbol, session, number)

    def rarely(self, account: int, a: int, b: int) -> None:
        name = ("", "ONE", "TWO")[b % 3]
        if a % 4 == 0:
            self.send_to_all(account, "q", "7", "", "")
        elif a % 4 == 1:
            self.switch(b % 2, name, "" if name else "AAA", b // 3 % 2)
            for each in ("ONE", "TWO"):
                self.switch(int(PartyAction.REINSTATE), each, "", 0)
            self.switch(int(PartyAction.REINSTATE), "", "AAA", 0)
        elif a % 4 == 2:
            self.send(account, "H", SYMBOLS[b % 3], 1 + b % (self.next_id + 1))
        else:
            self.restart_risk(b)

    # ------------------------------------------------------------ the mesh

    def send(self, account: int, kind: str, symbol: str, *fields: Any) -> None:
        self.next_id += 1
        command = (kind, account, self.now_ns, self.next_id, symbol, *fields)
        shard = 1 if symbol == "FAR" else 0
        self.sent.append((shard, command))
        self.dispatch(shard, command)

    def send_to_all(self, account: int, kind: str, *fields: Any) -> None:
        self.next_id += 1
        for shard in (0, 1):
            self.dispatch(shard, (kind, account, self.now_ns, self.next_id, *fields))

    def dispatch(self, shard: int, command: Command) -> None:
        before = self.risk.usage(command[1])[-1]
        refused = self.risk.check(command, 0)
        after = self.risk.usage(command[1])[-1]
        self.approved += refused is None and command[0] == "D"
        if refused is not None:
            assert after == before
        if after.credit_used > before.credit_used:
            assert after.credit_used <= LIMITS.credit_max
        self.queues[shard].append((command, refused))

    def match(self, shard: int, count: int) -> None:
        """The matcher takes some commands and makes a block."""
        engine, queue = self.engines[shard], self.queues[shard]
        first, time_ns = self.seqs[shard] + 1, self.now_ns
        expiry_ns = engine.next_expiry_ns
        if expiry_ns is not None and expiry_ns <= time_ns:
            self.apply(shard, ("XE", 0, time_ns, 0), None)
        for i in range(min(count, len(queue))):
            command, refused = queue.popleft()
            self.apply(shard, command, None if refused is None else (i, *refused))
        chunks, notices = engine.take()
        for account, _, _, _, data, _ in chunks:
            self.count_fills(account, decode_reports(data))
        commands = self.seqs[shard] - first + 1
        self.feed.append(Block(shard, 1, first, commands, time_ns, [], [], chunks, notices))
        self.check_engine(engine)

    def apply(self, shard: int, command: Command, verdict: Any) -> None:
        self.seqs[shard] += 1
        self.now_ns += 1
        self.engines[shard].apply(command, verdict, self.seqs[shard], self.now_ns)

    def count_fills(self, account: int, reports: list[Any]) -> None:
        for r in reports:
            if r[0] == "8" and r[3] == "F":
                signed = r[15] if r[9] == "1" else -r[15]
                key = account, r[8]
                self.positions[key] = self.positions.get(key, 0) + signed

    def follow(self, blocks: int) -> None:
        for _ in range(min(blocks, len(self.feed))):
            self.told.append(self.feed.popleft())
            self.risk.apply_block(self.told[-1])
            self.check_sums()

    def restart_risk(self, b: int) -> None:
        """Risk dies: part of what it passed on arrives, the rest comes to the next one again."""
        for shard in (0, 1):
            self.match(shard, b % 5)
        lost = [list(queue) for queue in self.queues]
        for queue in self.queues:
            queue.clear()
        self.follow(len(self.feed))
        self.risk = Risk(INSTRUMENTS, ACCOUNTS)
        for block in self.told:
            self.risk.apply_block(block)
        for shard in (0, 1):
            for command, _ in lost[shard]:
                self.dispatch(shard, command)

    def drain(self) -> None:
        for shard in (0, 1):
            self.match(shard, len(self.queues[shard]))
        self.follow(len(self.feed))

    # ------------------------------------------------------------ what must hold

    def exposures(self) -> list[Exposure]:
        return list(self.risk._exposures.values())

    def check_sums(self) -> None:
        for exposure in self.exposures():
            orders: dict[int, Order] = {}
            for ledger in exposure.ledgers.values():
                orders.update({id(o): o for o in ledger.orders.values()})
            assert exposure.open_orders == len(orders) <= LIMITS.open_orders_max
            used = 0
            for position in exposure.positions.values():
                mine = [o for o in orders.values() if o.position is position]
                buys = [o.worst() for o in mine if o.buy]
                sells = [o.worst() for o in mine if not o.buy]
                assert position.open_orders == len(mine)
                assert position.buy_qty == sum(qty for qty, _ in buys)
                assert position.sell_qty == sum(qty for qty, _ in sells)
                assert position.buy_notional == sum(notional for _, notional in buys)
                assert position.sell_notional == sum(notional for _, notional in sells)
                assert position.net_qty + position.buy_qty <= LIMITS.position_max
                assert position.sell_qty - position.net_qty <= LIMITS.position_max
                assert position.credit_used == max(
                    position.cost + position.buy_notional, position.sell_notional - position.cost
                )
                used += position.credit_used
            assert exposure.credit_used == used

    def check_engine(self, engine: Engine) -> None:
        """The truth, whatever risk thinks: limits hold with every open order done."""
        for participant in engine.participants.values():
            assert len(participant.orders) <= LIMITS.open_orders_max
            for symbol in SYMBOLS:
                net = self.positions.get((participant.account, symbol), 0)
                orders = [o for o in participant.orders.values() if o.symbol == symbol]
                buys = sum(o.leaves for o in orders if o.side == "1")
                sells = sum(o.leaves for o in orders if o.side == "2")
                assert net + buys <= LIMITS.position_max
                assert net - sells >= -LIMITS.position_max

    def check_projection(self) -> None:
        """With nothing on its way, risk knows exactly what the engine holds."""
        for exposure in self.exposures():
            for symbol, position in exposure.positions.items():
                assert position.net_qty == self.positions.get((exposure.account, symbol), 0)
            for shard, engine in enumerate(self.engines):
                participant = engine.participants.get(exposure.account)
                known = {i: (o.leaves, o.cum) for i, o in exposure.ledger(shard).orders.items()}
                if participant is None:
                    assert not known
                else:
                    held = {i: (o.leaves, o.cum) for i, o in participant.orders.items()}
                    assert known == held
                    assert exposure.ledger(shard).mark <= participant.mark


def run(world: World, script: list[Step]) -> None:
    for step in script:
        world.step(*step)
    world.drain()
    world.check_projection()


@given(steps)
@settings(max_examples=150, deadline=None)
def test_exposure_is_an_exact_projection_and_nothing_leaks(script: list[Step]) -> None:
    world = World()
    run(world, script)
    for account in (1, 2):
        world.send_to_all(account, "q", "7", "", "")
    world.drain()
    world.check_projection()
    for exposure in world.exposures():
        assert exposure.open_orders == 0
        assert not any(ledger.orders for ledger in exposure.ledgers.values())
        for p in exposure.positions.values():
            assert (p.buy_qty, p.sell_qty, p.buy_notional, p.sell_notional) == (0, 0, 0, 0)
        assert exposure.credit_used == sum(abs(p.cost) for p in exposure.positions.values())


@given(steps, st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_a_risk_that_starts_anew_arrives_at_the_same(script: list[Step], cut: int) -> None:
    world = World()
    run(world, script)
    anew, early = Risk(INSTRUMENTS, ACCOUNTS), Risk(INSTRUMENTS, ACCOUNTS)
    for block in world.told:
        anew.apply_block(block)
    for block in world.told[:cut]:
        early.apply_block(block)
    restored = Risk(INSTRUMENTS, ACCOUNTS)
    restored.restore(early.state())
    for block in world.told[cut:]:
        restored.apply_block(block)
    assert encode(anew.state()) == encode(world.risk.state()) == encode(restored.state())
    for account in ACCOUNTS:
        assert anew.usage(account.id) == world.risk.usage(account.id)
        assert anew.usage(account.id) == restored.usage(account.id)


@given(st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 100)), max_size=30))
def test_cost_goes_with_the_position(fills: list[tuple[int, int]]) -> None:
    net_qty = cost = 0
    for qty, price in fills:
        net_qty, cost = after_fill(net_qty, cost, qty, price)
        assert (cost > 0) == (net_qty > 0)
        assert (cost < 0) == (net_qty < 0)
        assert abs(cost) <= abs(net_qty) * 100 + 100
    assert net_qty == sum(qty for qty, _ in fills)
