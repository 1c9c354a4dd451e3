"""Instruments and accounts: the reference data that every service reads at start."""

import json
import time
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from rtes.common.enums import Role
from rtes.common.errors import OperatorError

LOOK_S: Final = 0.05


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Instrument(_Frozen):
    """One listed instrument. Ticks and lots are the integers of the order path."""

    symbol: Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[A-Z0-9._-]+$")]
    description: str = ""
    currency: str = "USD"
    tick_size: Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")] = "0.01"
    lot_size: Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")] = "1"
    min_price_increment: Annotated[int, Field(ge=1, description="ticks")] = 1
    round_lot: Annotated[int, Field(ge=1, description="lots")] = 1
    min_trade_vol: Annotated[int, Field(ge=1, description="lots")] = 1
    max_trade_vol: Annotated[int, Field(ge=1, le=10**12, description="lots")] = 1_000_000
    reference_price: Annotated[int, Field(ge=0, description="ticks; 0: none yet")]
    shard: Annotated[int, Field(ge=0, le=31, description="matcher shard")] = 0


class Limits(_Frozen):
    """Risk limits of one account."""

    order_qty_max: Annotated[int, Field(ge=1, description="lots")] = 100_000
    notional_max: Annotated[int, Field(ge=1, description="ticks x lots")] = 10**12
    band_percent: Annotated[float, Field(gt=0, le=1000)] = 10.0
    orders_per_s_max: Annotated[int, Field(ge=1)] = 1_000
    open_orders_max: Annotated[int, Field(ge=1)] = 10_000
    position_max: Annotated[int, Field(ge=1, description="lots, per symbol")] = 10**9
    credit_max: Annotated[int, Field(ge=1, description="ticks x lots")] = 10**14


class Account(_Frozen):
    """One participant. id is what the order path uses; public_key is its CURVE key (Z85)."""

    id: Annotated[int, Field(ge=1, le=2**31)]
    name: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9._-]+$")]
    role: Role = Role.PARTICIPANT
    public_key: str = ""
    revoked: bool = False  # the row stays, so that its id and its positions stay its own
    limits: Limits = Limits()


class Instruments(_Frozen):
    """configs/instruments.json."""

    instruments: list[Instrument]

    @model_validator(mode="after")
    def _unique(self) -> "Instruments":
        names = [i.symbol for i in self.instruments]
        if len(set(names)) != len(names):
            raise ValueError("a symbol is listed twice")
        return self


class Accounts(_Frozen):
    """The accounts file. environment: where its keys were made."""

    environment: str = ""
    accounts: list[Account]

    @model_validator(mode="after")
    def _unique(self) -> "Accounts":
        for what in ("id", "name"):
            values = [getattr(a, what) for a in self.accounts]
            if len(set(values)) != len(values):
                raise ValueError(f"an account {what} is used twice")
        return self


def load_instruments(path: Path, matcher_shards: int = 1) -> Instruments:
    """Instruments that name no shard are dealt out in turn, so one that is added at the end moves
    no other. Raises OSError, or ValueError when they do not fit the shards."""
    tree = json.loads(path.read_text())
    rows = tree.get("instruments") if isinstance(tree, dict) else None
    for i, row in enumerate(rows if isinstance(rows, list) else ()):
        if isinstance(row, dict):
            row.setdefault("shard", i % matcher_shards)
    listed = Instruments.model_validate(tree)
    for instrument in listed.instruments:
        if instrument.shard >= matcher_shards:
            raise ValueError(
                f"{instrument.symbol} is on matcher shard {instrument.shard}, but "
                f"mesh.matcher_shards is {matcher_shards}: shards count from 0"
            )
    idle = sorted({*range(matcher_shards)} - {i.shard for i in listed.instruments})
    if idle and matcher_shards > 1:
        raise ValueError(
            f"no instrument is on matcher shard {idle[0]}: list more, name their shards, or make "
            f"mesh.matcher_shards (now {matcher_shards}) smaller"
        )
    return listed


def load_accounts(path: Path) -> Accounts:
    """Raises OSError, or OperatorError when it is damaged."""
    text = path.read_bytes()
    try:
        return Accounts.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = f"{where}: {first['msg']}" if where else first["msg"]
        raise OperatorError(f"{path}: {said}; restore it from a copy") from None


class Roster:
    """The accounts whose keys count, as the accounts file says now.

    Other processes change the file; a look costs one stat, and find() looks every 50 ms. A file
    that cannot be read leaves the last roster in force: an accident undoes no revocation."""

    def __init__(self, path: Path) -> None:
        self.changes = 0  # of the file, as far as we looked
        self.keys_lost = 0  # changes that left fewer keys counting
        self._path = path
        self._stamp = (0, 0)
        self._looked_s = 0.0
        self._by_name: dict[str, Account] = {}
        self._keys: frozenset[str] = frozenset()
        self.refresh()

    def refresh(self) -> bool:
        """Look at the file; True when it had changed."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp == self._stamp:
                return False
            accounts = load_accounts(self._path).accounts
        except (OSError, ValueError):
            return False
        self._stamp = stamp
        self.changes += 1
        active = [a for a in accounts if not a.revoked]
        self._by_name = {a.name: a for a in active}
        keys = frozenset(a.public_key for a in active if a.public_key)
        self.keys_lost += not self._keys <= keys
        self._keys = keys
        return True

    def find(self, name: str) -> Account | None:
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self.refresh()
        return self._by_name.get(name)

    def find_id(self, number: int) -> Account | None:
        """For the rare question: looks at the file first, and through all of it."""
        self.refresh()
        return next((a for a in self._by_name.values() if a.id == number), None)

    def accounts(self) -> list[Account]:
        """All of them; looks at the file first."""
        self.refresh()
        return list(self._by_name.values())

    def knows(self, public_key: str) -> bool:
        """Whether anybody's key it is; looks at the file first."""
        self.refresh()
        return public_key in self._keys
