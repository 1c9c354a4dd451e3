"""The operator's part of the command line: `rtes setup` and `rtes paths`."""

import json

import click
from rtes.common.config import running
from rtes.common.paths import Paths
from rtes.control.profile_option import profile_option
from rtes.control.setup import setup as make_accounts


@click.command()
@profile_option
def setup(profile: str) -> None:
    """Make the accounts, keys and certificates that are missing for a first start.

    Participants are added with `rtes participants add`."""
    config = running(profile)
    made = make_accounts(config)
    click.echo(f"{len(made)} accounts made; keys are in {Paths(config).keys_dir}")


@click.command()
@profile_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def paths(profile: str, as_json: bool) -> None:
    """Say where run-time state lies; all of it is under the first directory."""
    p = Paths(running(profile))
    places = {
        "state": p.state_dir,
        "logs": p.log_dir,
        "run": p.run_dir,
        "journal": p.journal_dir(0).parent,
        "keys": p.keys_dir,
        "accounts": p.accounts_file,
        "config": p.config_file,
        "sockets": p.socket_dir,
    }
    if as_json:
        click.echo(json.dumps({name: str(path) for name, path in places.items()}))
        return
    for name, path in places.items():
        click.echo(f"{name:<9} {path}")

