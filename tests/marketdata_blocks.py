"""Blocks of a real engine for the tests of market data, and a subscriber on a lossy wire."""

from collections.abc import Callable, Iterable, Sequence

from rtes.client.bookview import BookView
from rtes.common.marketdata import decode_batch
from rtes.common.records import Block, Command, decode_block, encode
from rtes.common.refdata import Instrument
from rtes.services.marketdata.core import MarketDataCore, Publication
from rtes.services.matcher.engine import Engine

START_NS = 1_700_000_000_000_000_000
INSTRUMENTS = [Instrument(symbol=s, reference_price=100) for s in ("AAPL", "MSFT")]


class Sequencer:
    """Makes blocks as the matcher does."""

    def __init__(self) -> None:
        self.engine = Engine(0, INSTRUMENTS)
        self.epoch = 1
        self.next_seq = 1

    def block(self, commands: Sequence[Command]) -> Block:
        """Execute commands; everyone's cl_ord_id must increase."""
        first_seq, self.next_seq = self.next_seq, self.next_seq + len(commands)
        time_ns = START_NS + first_seq
        for i, command in enumerate(commands):
            self.engine.apply(command, None, first_seq + i, time_ns + i)
        chunks, notices = self.engine.take()
        frame = encode([(0, 1, 1, first_seq, encode(commands), [])])
        head = (0, self.epoch, first_seq, len(commands), time_ns)
        return decode_block(encode((*head, [], [frame], chunks, notices)))


def new_core() -> MarketDataCore:
    """Somebody wants all of it."""
    core = MarketDataCore(Engine(0, INSTRUMENTS), INSTRUMENTS)
    core.wanted(b"", True, START_NS)
    return core


def order(
    account: int,
    cl_ord_id: int,
    side: str,
    qty: int,
    price: int,
    *,
    symbol: str = "AAPL",
    ord_type: str = "2",
    tif: str = "1",
    stop_px: int = 0,
    display_qty: int = 0,
    smp: tuple[int, int] = (0, 1),
) -> Command:
    """A NewOrderSingle as the gateway passes it on."""
    terms = (ord_type, price, tif, stop_px, "", display_qty, 0, 0)
    return ("D", account, 0, cl_ord_id, symbol, side, qty, *terms, *smp)


class Subscriber:
    """A BookView whose live frames and answers may be lost on the way."""

    def __init__(self, channels: Iterable[str], lost: Callable[[], bool]) -> None:
        self.view = BookView("AAPL", channels)
        self._topics = [f"{channel}.AAPL".encode() for channel in channels]
        self._lost = lost

    def receive(self, publications: Iterable[Publication]) -> None:
        for topic, frame in publications:
            if topic in self._topics and not self._lost():
                self.view.apply(decode_batch(frame))

    def recover(self, core: MarketDataCore, now_ns: int) -> None:
        for request in self.view.requests(now_ns):
            for frame in core.handle_request(request):
                if not self._lost():
                    self.view.apply(decode_batch(frame))
