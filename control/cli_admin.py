"""`rtes participants`, `access`, `audit` and `certs`: who may trade, who may operate, who did
what, and the certificates of the HTTP pages.
"""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import click
from rtes.common.access import PERMISSIONS
from rtes.control import cli_common
from rtes.control.cli_common import Operator

operator = partial(cli_common.operator, remote=True)
_sans = click.option("--san", "sans", multiple=True, help="Host or address it names; repeatable.")


_limits = click.option(
    "--limit", "limits", multiple=True, help="NAME=VALUE, like order_qty_max=1000; repeatable."
)


@click.group()
def participants() -> None:
    """Add, revoke and list participants and their keys."""


@participants.command("list")
@operator()
def list_participants(op: Operator) -> None:
    """List the accounts."""
    op.table(op.ask("participants list"), ("name", "id", "role", "state", "public_key"))


@participants.command("add")
@operator(reason=True)
@click.argument("name")
@click.option("--role", type=click.Choice(["participant", "operator"]), default="participant")
@_limits
def add_participant(op: Operator, name: str, role: str, limits: Sequence[str]) -> None:
    """Make the account NAME and its key, or bring a revoked one back.

    It may trade at once, and operators can name it (rtes kill)."""
    row = op.ask("participants add", name=name, role=role, limits=_given(limits))
    op.emit(row, f"{name} is account {row['id']}; its key is {row['key_file']}")


@participants.command("revoke")
@operator(reason=True)
@click.argument("name")
def revoke_participant(op: Operator, name: str) -> None:
    """Make the key of NAME count for nothing; its session ends at once."""
    op.emit(op.ask("participants revoke", name=name), f"{name} is revoked")


@participants.command("rotate")
@operator(reason=True)
@click.argument("name")
def rotate_participant(op: Operator, name: str) -> None:
    """Give NAME a new key; the old one stops counting at once."""
    row = op.ask("participants rotate", name=name)
    op.emit(row, f"{name} has a new key: {row['key_file']}")


@participants.command("limits")
@operator(reason=True)
@click.argument("name")
@_limits
def limit_participant(op: Operator, name: str, limits: Sequence[str]) -> None:
    """Change limits of NAME; they hold within half a second."""
    row = op.ask("participants limits", name=name, limits=_given(limits))
    shown = ", ".join(f"{limit} {value}" for limit, value in row["limits"].items())
    op.emit(row, f"{name} may {shown}")


@click.group()
def access() -> None:
    """Grant and revoke the roles of operators."""


_role = click.argument("role", type=click.Choice(list(PERMISSIONS)))


@access.command("list")
@operator()
def list_access(op: Operator) -> None:
    """List who holds which roles."""
    grants = op.ask("access list")
    op.table([{"identity": who, "roles": r} for who, r in grants.items()], ("identity", "roles"))


@access.command("key")
@operator(reason=True)
@click.argument("name")
def key(op: Operator, name: str) -> None:
    """Make a key for the operator NAME on another host; a key before it ends.

    It holds no role until one is granted, or those of the key it replaces."""
    made = op.ask("access key", name=name)
    op.emit(made, f"{made['identity']}; give its operator {made['key_file']}")


@access.command()
@operator(reason=True)
@click.argument("identity")
@_role
def grant(op: Operator, identity: str, role: str) -> None:
    """Give ROLE to IDENTITY: uid:1000, key:NAME or cert:NAME."""
    op.emit(op.ask("access grant", identity=identity, role=role), f"{identity} holds {role}")


@access.command()
@operator(reason=True)
@click.argument("identity")
@_role
def revoke(op: Operator, identity: str, role: str) -> None:
    """Take ROLE from IDENTITY."""
    said = f"{identity} does not hold {role} any more"
    op.emit(op.ask("access revoke", identity=identity, role=role), said)


@click.group()
def audit() -> None:
    """Read and check the audit log."""


@audit.command()
@operator()
@click.option("-n", "--lines", type=click.IntRange(1, 1_000), default=20, show_default=True)
def tail(op: Operator, lines: int) -> None:
    """Print the last records."""
    records = op.ask("audit tail", count=lines)
    op.emit(records, "\n".join(_line(record) for record in records))


@audit.command()
@operator()
def verify(op: Operator) -> None:
    """Check that nothing was edited, deleted, cut off or rewritten.

    Keep the head it prints elsewhere: it shows later that the log up to there is the same."""
    head = op.ask("audit verify")
    op.emit(head, f"{head['records']} records, whole; head {head['head']}")


@audit.command()
@operator(reason=True)
def export(op: Operator) -> None:
    """Print all records, one JSON object per line."""
    for record in op.ask("audit export"):
        click.echo(json.dumps(record))


@click.group()
def certs() -> None:
    """Make, check and renew certificates for HTTPS."""


@certs.command()
@operator(reason=True)
@_sans
def init(op: Operator, sans: Sequence[str]) -> None:
    """Make a CA, and certificates for the server and a client, where they are missing."""
    made = op.ask("certs init", sans=list(sans))
    op.emit(made, "\n".join(f"made {file}" for file in made) or "nothing was missing")


@certs.command()
@operator(reason=True)
@_sans
def renew(op: Operator, sans: Sequence[str]) -> None:
    """Make new certificates under the same CA; new connections get them at once."""
    made = op.ask("certs renew", sans=list(sans))
    op.emit(made, "\n".join(f"renewed {file}" for file in made))


@certs.command()
@operator(reason=True)
@click.argument("name")
def client(op: Operator, name: str) -> None:
    """Make a certificate for the operator NAME to see the health pages with.

    For security.tls_client_auth. It holds no role until one is granted to cert:NAME, or those of
    the certificate it replaces."""
    made = op.ask("certs client", name=name)
    op.emit(made, f"{made['identity']}; give its operator {', '.join(made['files'])}")


@certs.command("status")
@operator()
@click.pass_context
def certs_status(ctx: click.Context, op: Operator) -> None:
    """Show each certificate; exit code 1 when one needs attention."""
    rows = op.ask("certs status")
    op.table(rows, ("file", "names", "days_left", "problem"))
    if any(row["problem"] for row in rows):
        ctx.exit(1)


def _given(limits: Sequence[str]) -> dict[str, str]:
    return {field: value for field, _, value in (limit.partition("=") for limit in limits)}


def _line(record: dict[str, Any]) -> str:
    """Escaped by JSON, so that no reason can pass for a line of its own."""
    shown = [str(record["seq"]), record["ts"], record["actor"], record["action"]]
    for name in ("object", "old", "new", "outcome", "reason"):
        if record.get(name) not in (None, "", [], {}):
            shown.append(f"{name}={json.dumps(record[name])}")
    return "  ".join(shown)
