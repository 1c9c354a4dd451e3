"""Links under loss, duplication and restarts: every payload once, in order, until acknowledged."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from rtes.common import link

STEP_NS = 20_000_000


class World:
    """One sender, one receiver that may restart, and a network that loses frames."""

    def __init__(self, seed: int, loss: float) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        self.now_ns = 1
        self.sender = link.Sender(7, 1)
        self.receiver = link.Receiver()
        self.peer_epoch = 1
        self.wire: list[bytes] = []
        self.taken: list[bytes] = []
        self.acked = 0

    def send(self, frames: list[bytes]) -> None:
        self.wire += [f for f in frames if self.random.random() >= self.loss]

    def deliver(self) -> None:
        """The network hands over what it did not lose; the receiver acts at once."""
        wire, self.wire = self.wire, []
        for frame in wire:
            stamp, payload = link.unpack(frame)
            if self.receiver.accept(stamp):
                self.taken.append(payload)
                self.last = stamp

    def status(self) -> None:
        if self.random.random() < self.loss:
            return
        entries = {e[0]: (e[1], e[2], e[3], e[4]) for e in self.receiver.entries()}
        self.send(self.sender.status(self.peer_epoch, entries.get(7), self.now_ns))
        self.now_ns += STEP_NS

    def restart(self) -> None:
        """The receiver dies with what the network held; its successor acknowledges nothing."""
        self.receiver = link.Receiver()
        self.peer_epoch += 1
        self.wire.clear()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.4]), st.booleans())
def test_everything_arrives_in_order_whatever_is_lost(seed: int, loss: float, dup: bool) -> None:
    world = World(seed, loss)
    sent = []
    for i in range(60):
        payload = str(i).encode()
        sent.append(payload)
        world.send([world.sender.push(payload, 1, world.now_ns)])
        if dup and world.wire:
            world.wire.append(world.wire[-1])
        if world.random.random() < 0.5:
            world.deliver()
            world.status()
    world.loss = 0.0
    for _ in range(20):
        world.deliver()
        world.status()
    world.deliver()
    assert world.taken == sent


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6))
def test_a_restarted_receiver_gets_all_that_was_not_acknowledged(seed: int) -> None:
    """What the dead receiver took without acknowledging comes again, in order, on a new link."""
    world = World(seed, 0.2)
    count = 0
    for i in range(60):
        count += 1
        world.send([world.sender.push(str(i).encode(), 1, world.now_ns)])
        roll = world.random.random()
        if roll < 0.4:
            world.deliver()
            world.status()
        elif roll < 0.5:
            world.restart()
        elif roll < 0.7 and world.taken:
            world.sender.ack(1, world.last[2], world.last[3])
    world.loss = 0.0
    for _ in range(20):
        world.deliver()
        world.status()
    world.deliver()
    numbers = [int(p) for p in world.taken]
    assert numbers[-1] == count - 1
    assert set(numbers) == set(range(count))  # repeats are possible, holes are not
    first_seen = list(dict.fromkeys(numbers))
    assert first_seen == sorted(first_seen)


def test_an_acknowledgement_of_an_old_link_still_counts() -> None:
    sender = link.Sender(1, 5)
    for i in range(4):
        sender.push(bytes([i]), 1, 0)
    assert sender.status(1, None, 1) == []
    assert len(sender.status(2, None, 1)) == 4  # a new receiver: everything again on link 1
    sender.ack(5, 0, 1)  # the matcher journaled the first two before the receiver died
    assert sender.weight == 2
    assert len(sender.renew(2)) == 2


def test_a_fenced_epoch_is_never_taken_again() -> None:
    receiver = link.Receiver()
    assert receiver.accept((1, 2, 0, 0))
    assert not receiver.accept((1, 1, 9, 1))
    assert not receiver.has_gap
    assert not receiver.accept((1, 2, 0, 2))
    assert receiver.has_gap
    assert receiver.accept((1, 2, 0, 1))
    assert not receiver.has_gap


def test_a_status_of_a_dead_receiver_is_ignored() -> None:
    sender = link.Sender(1, 1)
    sender.push(b"x", 1, 0)
    assert sender.status(9, None, 10**8)
    assert sender.status(8, None, 10**10) == []
