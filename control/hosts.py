"""An exchange on several hosts: which of its services are here, and what another host needs.

Accounts and keys are made where control is placed, and nowhere else: a host that made its own
would not know the others. `rtes hosts export` packs for another host what its services read, with
the secret keys of its services and of no others.
"""

import io
import os
import socket
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from rtes.common.config import Config, ConfigError, running
from rtes.common.config_mesh import listener
from rtes.common.paths import Paths
from rtes.common.placement import MEMBERS
from rtes.common.storage import PRIVATE
from rtes.control.profile_option import profile_option
from rtes.control.setup import OPERATOR, SERVER, setup
from rtes.control.shards import keep_shards, program_name

_BELIEVED_BY: Final = ("gateway", "marketdata", "control")  # participants, by the exchange's key


def is_here(host: str) -> bool:
    """Whether a service can listen at that address or name, so that it is this host's."""
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def placed_here(config: Config) -> set[tuple[str, int]]:
    """The instances (service, number) that run on this host. Raises ConfigError."""
    placement = config.mesh.placement
    if not placement.several:
        return {*placement.all()}
    here = [host for host in placement.hosts if is_here(host)]
    if not here:
        raise ConfigError(f"none of mesh.hosts is this one: {', '.join(placement.hosts)}")
    return {one for host in here for one in placement.on(host)}


def ports_here(config: Config) -> Iterator[tuple[str, str, int]]:
    """(what for, address, port) of everything that this host's services listen on."""
    here = placed_here(config)
    for what, port in config.ports.items():
        if (who := listener(what)) in here:
            yield what, config.listening(*who).host, port


def prepare(config: Config) -> None:
    """What comes before every start: make what is missing, or where it is not to be made see that
    it is there. Raises ConfigError."""
    placement, paths = config.mesh.placement, Paths(config)
    if not placement.several or is_here(placement.host("control")):
        setup(config)
        return
    paths.prepare()
    keep_shards(config)
    services = {service for service, _ in placed_here(config)}
    missing = [path for path in _needed(config, services) if not path.exists()]
    if missing:
        raise ConfigError(
            f"{missing[0]} is missing. On {placement.host('control')}, where the exchange was set "
            f"up, `rtes hosts export` makes what this host needs; unpack it in {paths.run_dir}"
        )


def _needed(config: Config, services: set[str]) -> Iterator[Path]:
    """The files that these services read and cannot make."""
    paths = Paths(config)
    yield from (paths.accounts_file, paths.mesh_file)
    for service in MEMBERS:
        if service in services:
            yield paths.key_file(f"mesh@{service}")
    if services.intersection(_BELIEVED_BY):
        yield paths.key_file(SERVER)
    if "health" in services:
        yield paths.key_file(OPERATOR)
        if config.security.tls and config.security.tls_cert_file is None:
            yield from (paths.certs_dir / name for name in ("ca.crt", "server.crt", "server.key"))


def programs_elsewhere(config: Config) -> set[str]:
    """The names of the programs that supervisord is not to run on this host."""
    placement = config.mesh.placement
    return {program_name(*one) for one in {*placement.all()} - placed_here(config)}


def export(config: Config, host: str, file: Path) -> list[str]:
    """Write a tar of what that host needs, to be unpacked in its run_dir; mode 0600, for there are
    secret keys in it. Returns the names. Raises ConfigError."""
    placement, paths = config.mesh.placement, Paths(config)
    if not placement.several or host not in placement.hosts:
        raise ConfigError(f"mesh.hosts places nothing on {host}")
    services = {service for service, _ in placement.on(host)}
    wanted = [*_needed(config, services), paths.config_file]
    if paths.flags_file.exists():
        wanted.append(paths.flags_file)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in wanted:
            try:
                content = path.read_bytes()
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror}; run rtes setup first") from None
            entry = tarfile.TarInfo(str(path.relative_to(paths.run_dir)))
            entry.mode, entry.size, entry.mtime = PRIVATE, len(content), int(time.time())
            tar.addfile(entry, io.BytesIO(content))
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "wb") as out:
        out.write(packed.getvalue())
    return [str(path.relative_to(paths.run_dir)) for path in wanted]


@click.group()
def hosts() -> None:
    """An exchange on several hosts: who runs where, and what each needs."""


@hosts.command("list")
@profile_option
def list_hosts(profile: str) -> None:
    """List the services of each host and the ports that others reach there."""
    config = running(profile)
    placement = config.mesh.placement
    ports = placement.ports(config.mesh.base_port + config.exchange.port_offset)
    for host in placement.hosts:
        here = "" if not placement.several else " (this host)" * is_here(host)
        click.echo(f"{host or 'this host'}{here}")
        for service, number in placement.on(host):
            own = [f"{w} {p}" for w, p in ports.items() if placement.binder(w) == (service, number)]
            click.echo(f"  {service} {number}  {', '.join(own)}".rstrip())


@hosts.command("export")
@profile_option
@click.argument("host")
@click.option("--to", "file", type=click.Path(dir_okay=False, path_type=Path), required=True)
def export_host(profile: str, host: str, file: Path) -> None:
    """Write to a file what HOST needs: tar -xf FILE -C RUN_DIR there. Secret keys are in it."""
    names = export(running(profile), host, file)
    click.echo(f"{file}: {', '.join(names)}")
