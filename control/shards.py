"""Programs of a mesh with several of a service, and what keeps symbols where they have traded.

The first of a service is the program of its name, the second is SERVICE1: supervisord.conf has the
first of each, and the others are made from them.
"""

import io
import json
from collections.abc import Collection
from configparser import RawConfigParser
from pathlib import Path
from typing import Any, Final

from rtes.common.config import Config, ConfigError
from rtes.common.paths import Paths
from rtes.common.storage import replace
from rtes.control.files_check import listed_instruments

RECORD: Final = "shards.json"  # in run_dir


def program_name(service: str, number: int) -> str:
    """What supervisord calls it."""
    return f"{service}{number}" if number else service


def instance_of(program: str) -> tuple[str, int]:
    """(service, number) of a program's name."""
    service = program.rstrip("0123456789")
    return service, int(program.removeprefix(service) or 0)


def supervisor_file(config: Config, home: Path, elsewhere: Collection[str] = ()) -> Path:
    """What supervisord is to read: supervisord.conf, or where there are several of a service, or
    programs that run elsewhere, a file in var/ with those that are to run here."""
    original = home / "supervisord.conf"
    text = original.read_text()
    parser = RawConfigParser()
    parser.read_string(text)
    further = [
        (service, number)
        for service, count in config.mesh.instances.items()
        for number in range(1, count)
    ]
    if not further and not elsewhere:
        return original
    for service, number in further:
        own = f"program:{program_name(service, number)}"
        parser.read_dict({own: dict(parser.items(f"program:{service}"))})
    for name in elsewhere:
        parser.remove_section(f"program:{name}")
    with io.StringIO() as out:
        parser.write(out, space_around_delimiters=False)
        text = out.getvalue()
    made = home / "var" / "supervisord.conf"
    replace(made, text.replace("%(here)s", str(home).replace("%", "%%")))
    return made


def keep_shards(config: Config) -> None:
    """Refuse a mesh that would look for a symbol's orders, or for an account's logons, in another
    shard's journal than they are in, or nowhere. What was listed once there is a journal counts as
    traded: snapshots hold every book. Raises ConfigError."""
    paths, count = Paths(config), config.mesh.matcher_shards
    record = paths.run_dir / RECORD
    symbols = {i.symbol: i.shard for i in listed_instruments(config)}
    journals = list((paths.run_dir / "journal").glob("*"))
    if journals:
        # without a record: from a release that made none
        known: dict[str, Any] = {"matcher_shards": len(journals), "symbols": {}}
        if record.exists():
            known = json.loads(record.read_text())
        if known["matcher_shards"] != count:
            raise ConfigError(
                f"{paths.run_dir} has traded with mesh.matcher_shards {known['matcher_shards']}, "
                f"and it is {count} now: set it back, or take another mesh.run_dir"
            )
        listed = config.exchange.instruments
        for symbol, shard in known["symbols"].items():
            if symbol not in symbols:
                raise ConfigError(
                    f"{symbol} has traded in {paths.run_dir}, and {listed} has it no more: put it "
                    f"back; rtes kill halt --symbol {symbol} ends its trading"
                )
            if symbols[symbol] != shard:
                raise ConfigError(
                    f"{symbol} has traded on matcher shard {shard} and would move to "
                    f'{symbols[symbol]}: give it "shard": {shard} in {listed}'
                )
    text = json.dumps({"matcher_shards": count, "symbols": symbols}, indent=2) + "\n"
    if not record.exists() or record.read_text() != text:
        replace(record, text)
