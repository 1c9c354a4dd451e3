"""Risk decides no command on less of the feed than its sender was told."""

from rtes.common import feed, link
from rtes.common.records import Block, encode, lane_payload
from rtes.common.refdata import Account, Instrument
from rtes.common.riskwire import QUERY, TOPIC_ANSWER
from rtes.services.risk import core as risk
from rtes.services.risk.rules import Risk

EPOCH = 7
ORDER = ("D", 1, 0, 1, "AAPL", "1", 5, "2", 1_000, "0", 0, "", 0, 0, 0, 0, 1)


def ready_risk() -> risk.RiskCore:
    """A risk whose matcher has fenced its predecessor, with an empty feed behind it."""
    rules = Risk([Instrument(symbol="AAPL", reference_price=1_000)], [Account(id=1, name="A")])
    core = risk.RiskCore(0, EPOCH, rules, [0])
    core.receive(risk.FEED, [feed.status_frame(0, 1, 0, [(0, EPOCH, 0, 0, False)])], 1, 1)
    core.flush(1, 1)
    core.outbox.clear()
    return core


def sent_to_matcher(core: risk.RiskCore) -> int:
    core.flush(2, 2)
    frames = [frame for channel, _, frame in core.outbox if channel == risk.MATCHER]
    core.outbox.clear()
    return len(frames)


def test_a_command_waits_for_the_block_its_sender_was_told() -> None:
    core = ready_risk()
    lane = link.Sender(0, 1)
    core.receive(risk.COMMANDS, [lane.push(lane_payload(1, encode([ORDER])), 1, 2)], 2, 2)
    assert sent_to_matcher(core) == 0
    block = encode(tuple(Block(0, 1, 1, 1, 5, [], [], [], [])))
    core.receive(risk.FEED, [feed.frame(0, 1, 1, 1, block)], 2, 2)
    assert sent_to_matcher(core) == 1


def test_a_question_waits_for_the_block_its_asker_was_told() -> None:
    core = ready_risk()
    question = link.HEADER.pack(QUERY, 0, 0, 0) + encode((9, 1, "q", [(0, 1)]))

    def answers() -> int:
        core.flush(2, 2)
        sent, core.outbox = core.outbox, []
        return sum(frame[:1] == TOPIC_ANSWER for _, _, frame in sent)

    core.receive(risk.COMMANDS, [question], 2, 2)
    assert answers() == 0
    block = encode(tuple(Block(0, 1, 1, 1, 5, [], [], [], [])))
    core.receive(risk.FEED, [feed.frame(0, 1, 1, 1, block)], 2, 2)
    assert [answers(), answers()] == [1, 0]


def test_a_command_whose_sender_was_told_nothing_goes_at_once() -> None:
    core = ready_risk()
    lane = link.Sender(0, 1)
    core.receive(risk.COMMANDS, [lane.push(lane_payload(0, encode([ORDER])), 1, 2)], 2, 2)
    assert sent_to_matcher(core) == 1
