"""The blocking client against a stand-in of the exchange at the other end of a real socket."""

import json
import threading
from pathlib import Path

import msgspec
import zmq
from rtes.client.blocking import Client
from rtes.client.session import REPLACED
from rtes.common import messages as m
from rtes.common.config import load

from tests.unit.clientdesk import new, reply


def answer_and_end(exchange: zmq.Socket[bytes]) -> None:
    """A logon; then the first request's answer and the session's end, in one frame."""
    peer, _ = exchange.recv_multipart()
    exchange.send_multipart([peer, m.encode([reply()])])
    peer, frame = exchange.recv_multipart()
    sent = msgspec.msgpack.decode(frame, type=m.Inbound)
    assert isinstance(sent, m.NewOrderSingle)
    exchange.send_multipart([peer, m.encode([new(1, sent.cl_ord_id), m.Logout(REPLACED)])])


def test_what_was_answered_is_answered_though_the_session_ended_just_after(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    mesh = {"run_dir": str(tmp_path / "run")}
    tree = {"environment": "dev", "mesh": mesh, "security": {"curve": False}}
    file.write_text(json.dumps(tree))
    with zmq.Context() as context, context.socket(zmq.ROUTER) as exchange:
        port = exchange.bind_to_random_port("tcp://127.0.0.1")
        thread = threading.Thread(target=answer_and_end, args=(exchange,))
        thread.start()
        endpoint = f"tcp://127.0.0.1:{port}"
        with Client.connect("DEMO1", config=load(file, {}), endpoint=endpoint) as client:
            order = client.buy("AAPL", 10, 100)
            assert client.open_orders == [order]
        thread.join()
