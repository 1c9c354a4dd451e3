"""What every service's __main__ does first: arguments, configuration, pinning, reference data.

The order matters: the process binds itself to its parent and its cores before any thread exists,
and a configuration that cannot be used ends it with one line before any socket is bound.
"""

import argparse
import atexit
import gc
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from rtes.common import logs, process, snapshot_fetch, storage
from rtes.common.clock import Clock
from rtes.common.config import Config, ConfigError, load
from rtes.common.connections import TOTAL_MAX, reserve_files
from rtes.common.curve import CurveServer, refuses_unknown_key
from rtes.common.errors import OperatorError
from rtes.common.heartbeat import COUNTS_S, Heartbeat
from rtes.common.httpserver import ServerThread, Site
from rtes.common.live import LiveConfig
from rtes.common.loop import HEALTH_CHANNEL, Core, Loop, Rest
from rtes.common.paths import Paths
from rtes.common.probes import ServiceProbes
from rtes.common.refdata import (
    Account,
    Instrument,
    Limits,
    Roster,
    load_accounts,
    load_instruments,
)
from rtes.common.secrets import read_private
from rtes.common.snapshots import Snapshot, Snapshots
from rtes.common.sockets import Sockets
from rtes.common.topology import PINNED, layout_here
from rtes.common.wiring import Wiring, key_pair

EXIT_CONFIG: Final = 64
REPORTS_MAX: Final = 20  # ten seconds' that wait for a health that is not there
STARTING_S: Final = 86_400.0  # a beat counts so long until the loop beats: recovery may take time
Made = TypeVar("Made")


class LiveLimits:
    """Effective limits of the accounts, as the configuration and the accounts file say now."""

    def __init__(self, config: Config, roster: Roster, live: LiveConfig) -> None:
        self._config = config
        self._roster = roster
        self._seen = roster.changes
        self._apply: list[Callable[[dict[int, Limits]], None]] = []
        live.on_change(self._configure)
        live.along(self._look)

    def on_change(self, apply: Callable[[dict[int, Limits]], None]) -> None:
        """Call apply with every account's limits when they may have changed."""
        self._apply.append(apply)

    def of(self, account: Account) -> Limits:
        return self._config.limits_of(account)

    def _configure(self, config: Config) -> None:
        self._config = config
        self._tell()

    def _look(self) -> None:
        """One stat; others look at the file, too, so what counts is how often it had changed."""
        self._roster.refresh()
        if self._roster.changes != self._seen:
            self._tell()
            logs.get().info("accounts changed")

    def _tell(self) -> None:
        limits = {a.id: self.of(a) for a in self._roster.accounts()}
        self._seen = self._roster.changes
        for apply in self._apply:
            apply(limits)


@dataclass(frozen=True)
class Boot:
    """What a service starts from."""

    service: str
    config: Config
    paths: Paths
    shard: int
    instruments: list[Instrument]
    accounts: list[Account]  # with their effective limits
    roster: Roster  # whose keys count, as the accounts file says now
    live: LiveConfig  # tells of settings that change while this process runs
    limits: LiveLimits
    clock: Clock
    epoch: int  # of services without a journal: larger at each start, mostly its milliseconds
    lock: int  # held until this process ends
    probes: ServiceProbes  # served when --probe-port is given
    wiring: Wiring  # where the sockets between services are
    spins_on: list[int]  # the core of a loop that never sleeps; empty: it does

    def sockets(self, batch_bytes_max: int = sys.maxsize) -> Sockets:
        """Sockets with the channel to health."""
        sockets = Sockets(batch_bytes_max)
        sockets.push(HEALTH_CHANNEL, *self.wiring.reached("health", 0), REPORTS_MAX)
        return sockets

    def try_doors(self) -> None:
        """End this process unless the sockets that it bound for services on other hosts refuse a
        key that nobody knows."""
        for address in self.wiring.open_doors():
            _end_for_open_door(address)

    def try_door(self, endpoint: str, curve: CurveServer | None, kind: int) -> None:
        """The same of a socket for participants; kind: what they connect there."""
        if curve is not None and not refuses_unknown_key(endpoint, curve.public_key, kind):
            _end_for_open_door(endpoint)

    def newest_snapshot(self, shard: int, *parts: str) -> list[Snapshot] | None:
        """These parts of a matcher shard's newest snapshot: its files, or what its archive on
        another host sends; None when there is none."""
        if self.wiring.beside("matcher", shard):
            return Snapshots(self.paths.snapshots_dir(shard)).newest(*parts)
        return snapshot_fetch.newest(self.wiring.reached("archive", shard), shard, parts)

    def heartbeat(self, counts_s: float = COUNTS_S) -> Heartbeat:
        """Tells the watchdog that this process lives, for so long each time it is called."""
        return Heartbeat(self.paths.beats_dir / f"{self.service}{self.shard}", counts_s)

    def loop(
        self,
        core: Core,
        sockets: Sockets,
        commit: Callable[[], None] | None = None,
        undelivered: Callable[[int, bytes], None] | None = None,
        beat_counts_s: float = COUNTS_S,
        rest: Callable[[], Rest] | None = None,
    ) -> Loop:
        """The loop of this process around core."""
        self.try_doors()
        heartbeat = self.heartbeat(beat_counts_s)

        def beat() -> None:
            heartbeat()
            self.live.look()

        if self.spins_on:
            process.pin_thread(self.spins_on)
        name, shard = self.service, self.shard
        return Loop(
            core, sockets, self.clock, name, shard, commit, undelivered, beat, self.probes.told,
            logs.write, release_of(self.paths.run_dir), rest,
            spins=bool(self.spins_on),
        )  # fmt: skip

    def late_account(self, number: int) -> Account | None:
        """An account that was made since the start, with its effective limits."""
        account = self.roster.find_id(number)
        if account is None:
            return None
        return account.model_copy(update={"limits": self.limits.of(account)})

    def on_lost_key(self, sockets: Sockets, *channels: int) -> None:
        """End all connections of these channels when a key was revoked or replaced: ZeroMQ does
        not tell whose a subscriber's is, and who may connects again."""
        roster, seen = self.roster, self.roster.keys_lost

        def look() -> None:
            nonlocal seen
            roster.refresh()
            if roster.keys_lost == seen:
                return
            seen = roster.keys_lost
            for channel in channels:
                sockets.end_all(channel)
            logs.get().info("connections ended: a key was revoked")

        self.live.along(look)

    def curve_server(self) -> CurveServer | None:
        """The exchange's key pair and which participants may connect; None when CURVE is off."""
        usable(self.service, lambda _: reserve_files(TOTAL_MAX), self.config)
        if not self.config.security.curve:
            return None
        pair = usable("keys", server_key_pair, self.config)
        return CurveServer(pair["public_key"], pair["secret_key"], self.roster.knows)


def _end_for_open_door(address: str) -> NoReturn:
    logs.get().error("ends", why=f"{address}: an unknown key is not refused there")
    raise SystemExit(EXIT_CONFIG)


def boot(service: str, arguments: list[str] | None = None) -> Boot:
    """Parse --config and --shard, pin, load, lock. Exits with one line on a fault: EXIT_CONFIG,
    or EXIT_ALREADY_RUNNING: a second instance would silently take the first one's sockets."""
    parser = argparse.ArgumentParser(prog=f"python -m rtes.services.{service}")
    parser.add_argument("--config", default="dev", help="profile or path of a configuration")
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--probe-port", type=_port, help="answer probes of this service alone here")
    options = parser.parse_args(arguments)
    process.die_with_parent()
    try:
        config = load(options.config)
        spins_on = _take_cores(config, service)
        paths = Paths(config)
        paths.prepare()
        check_instance(config, service, options.shard)
        shards = config.mesh.matcher_shards
        instruments = load_instruments(config.exchange.instruments, shards).instruments
        roster = Roster(paths.accounts_file)  # first: it tells of what changes from now on
        listed = load_accounts(paths.accounts_file)
        check_made_for(config, listed.environment, paths.accounts_file)
        accounts = [a.model_copy(update={"limits": config.limits_of(a)}) for a in listed.accounts]
        wiring = Wiring(config, service, options.shard)
    except (OperatorError, OSError, ValueError) as error:
        print(f"{service}: {error}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None
    own = paths.run_dir / "locks" / f"{service}{options.shard}"
    try:
        lock = storage.lock(own)
    except storage.AlreadyRunningError as error:
        print(f"{service}: already running: {error}", file=sys.stderr)
        raise SystemExit(storage.EXIT_ALREADY_RUNNING) from None
    clock = Clock()
    epoch = _next_epoch(own, clock.wall_ns() // 1_000_000)
    named = {"service": service, "shard": options.shard, **_deployment(paths.run_dir)}
    writer = logs.start(config.environment, config.security.log_level, **named)
    atexit.register(writer.close)
    logs.tell_of_errors()
    logs.get().info("started", epoch=epoch, pid=os.getpid(), run_dir=str(paths.run_dir))
    live = LiveConfig(paths.config_file, config.security.log_level)
    limits = LiveLimits(config, roster, live)
    shard = options.shard
    Heartbeat(paths.beats_dir / f"{service}{shard}", STARTING_S)
    probes = ServiceProbes(service, clock.monotonic_ns)
    if options.probe_port is not None:
        _serve_probes(service, config, probes, options.probe_port)
    return Boot(
        service, config, paths, shard, instruments, accounts, roster, live, limits,
        clock, epoch, lock, probes, wiring, spins_on,
    )  # fmt: skip


def _take_cores(config: Config, service: str) -> list[int]:
    """Have this process run where it is to; the cores that its loop is to take, if that spins:
    threads have the cores of their maker, and those of a service that spins are to be elsewhere.
    """
    cores = layout_here(config)
    own: list[int] = getattr(cores, service)
    spins = config.mesh.busy_poll and service in PINNED
    process.pin(cores.archive if spins else own, f"cores.{service}")
    return own if spins else []


def check_instance(config: Config, service: str, number: int) -> None:
    """The configuration must ask for an instance of that number. Raises ConfigError."""
    count = config.mesh.instances.get(service, 1)
    if not 0 <= number < count:
        raise ConfigError(f"there is no {service} {number}: the mesh has {count}, counted from 0")


def release_of(run_dir: Path) -> dict[str, str]:
    """What this process runs: version, and deployment when one is on record."""
    return {"version": version("rtes"), **_deployment(run_dir)}


def _deployment(run_dir: Path) -> dict[str, str]:
    """Which deployment started this process, when one is on record: version@seconds."""
    try:
        record = json.loads((run_dir / "deployment.json").read_text())
        return {"deployment": f"{record['version']}@{record['started']:.0f}"}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _port(text: str) -> int:
    """Of an argument; argparse tells what is wrong with it."""
    number = int(text)
    if not 0 < number < 65_536:
        raise argparse.ArgumentTypeError(f"{number} is no port: 1 to 65535")
    return number


def _serve_probes(service: str, config: Config, probes: ServiceProbes, port: int) -> None:
    try:
        ServerThread(Site(probes.answer, {}), config.exchange.host, port, None)
    except OSError as error:
        print(f"{service}: --probe-port {port}: {error.strerror}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None


def server_key_pair(config: Config) -> dict[str, str]:
    """The exchange's CURVE key pair. Raises OperatorError."""
    path = Paths(config).key_file("gateway")
    try:
        text = read_private(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; rtes setup makes it") from None
    pair = key_pair(path, text)
    check_made_for(config, pair.get("environment", ""), path)
    return pair


def check_made_for(config: Config, environment: str, path: Path) -> None:
    """Prod takes no keys that were made elsewhere: others know them. Raises ConfigError."""
    if config.environment == "prod" and environment != "prod":
        raise ConfigError(
            f"{path} holds keys made for {environment or 'no environment'}, and prod takes only "
            "its own; move it away and run rtes setup --profile prod"
        )


def usable(service: str, make: Callable[[Config], Made], config: Config) -> Made:
    """What make(config) gives; a fault of the configuration ends the process with one line."""
    try:
        return make(config)
    except OperatorError as error:
        print(f"{service}: {error}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None


def _next_epoch(own: Path, now_ms: int) -> int:
    """The time, or one more than last time when the clock went back since."""
    try:
        return storage.next_epoch(own, now_ms)
    except OSError:  # a full disk must not keep a service from starting
        return now_ms


def freeze_heap() -> None:
    """The cores make no reference cycles: collecting would only pause them."""
    gc.collect()
    gc.freeze()
    gc.disable()
