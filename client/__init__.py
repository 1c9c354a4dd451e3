"""The participant's SDK: trade on an RTES exchange from Python.

    from rtes.client import Client

    with Client.connect("DEMO1") as client:
        order = client.buy("AAPL", 100, 58_500)   # ticks and lots
"""

from rtes.client.aio import AsyncClient
from rtes.client.blocking import Client
from rtes.client.credentials import Credentials
from rtes.client.errors import NotConnected, Rejected, RtesError, TimedOut
from rtes.client.marketdata import MarketData
from rtes.client.orders import Order, Position

__all__ = [
    "AsyncClient",
    "Client",
    "Credentials",
    "MarketData",
    "NotConnected",
    "Order",
    "Position",
    "Rejected",
    "RtesError",
    "TimedOut",
]
