"""`rtes`: the command line of participants and operators.

A command's module is imported when the command runs, so that help and completion stay quick;
COMMANDS therefore repeats each command's one line of help. What goes wrong is one line on stderr
and exit code 1; a wrong use of a command is exit code 2. There are no tracebacks.
"""

import importlib
from typing import Any, Final, NamedTuple

import click
from click.exceptions import NoSuchCommand
from rtes.client.errors import RtesError
from rtes.common.errors import OperatorError


class Lazy(NamedTuple):
    """Where a command lies, and what it does."""

    module: str
    attribute: str
    help: str


COMMANDS: Final = {
    "order": Lazy("rtes.client.cli_orders", "order", "Send an order: buy or sell."),
    "cancel": Lazy("rtes.client.cli_orders", "cancel", "Cancel an order, or all of them."),
    "replace": Lazy("rtes.client.cli_orders", "replace", "Change an order's quantity or price."),
    "orders": Lazy("rtes.client.cli_orders", "orders", "List your open orders."),
    "positions": Lazy("rtes.client.cli_account", "positions", "List your positions."),
    "usage": Lazy("rtes.client.cli_account", "usage", "Show your limits and their use."),
    "instruments": Lazy("rtes.client.cli_account", "instruments", "List what can be traded."),
    "book": Lazy("rtes.client.cli_market", "book", "Watch an order book."),
    "tape": Lazy("rtes.client.cli_market", "tape", "Watch trades as they happen."),
    "status": Lazy("rtes.client.cli_tools", "status", "Show how the exchange is."),
    "latency": Lazy("rtes.client.cli_performance", "latency", "Watch how long orders take."),
    "affinity": Lazy("rtes.client.cli_performance", "affinity", "Show and check who uses cores."),
    "kill": Lazy("rtes.client.cli_account", "kill", "Operators: stop an account or a symbol."),
    "emergency": Lazy("rtes.client.cli_emergency", "emergency", "Stop the whole exchange."),
    "bots": Lazy("rtes.client.bots.command", "bots", "Run the bots that make a market."),
    "replay": Lazy("rtes.client.replay", "replay", "Send a LOBSTER message file."),
    "journal": Lazy("rtes.control.journal", "journal", "Check, show, replay what was written."),
    "setup": Lazy("rtes.control.commands", "setup", "Make missing accounts and keys."),
    "hosts": Lazy("rtes.control.hosts", "hosts", "Several hosts: who is where, what each needs."),
    "paths": Lazy("rtes.control.commands", "paths", "Say where run-time state lies."),
    "config": Lazy("rtes.control.cli_config", "config", "Check or show the configuration."),
    "flags": Lazy("rtes.control.cli_flags", "flags", "Feature flags: list, set, explain."),
    "keys": Lazy("rtes.control.cli_config", "keys", "Encryption keys: make, list, rotate."),
    "participants": Lazy("rtes.control.cli_admin", "participants", "Add or revoke participants."),
    "access": Lazy("rtes.control.cli_admin", "access", "Grant or revoke operators' roles."),
    "audit": Lazy("rtes.control.cli_admin", "audit", "Read and check the audit log."),
    "certs": Lazy("rtes.control.cli_admin", "certs", "Certificates for HTTPS."),
    "version": Lazy("rtes.client.cli_tools", "version", "Print the version."),
    "completion": Lazy("rtes.client.cli_tools", "completion", "Print a shell's completion."),
}


class LazyGroup(click.Group):
    """Finds commands in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        lazy = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(lazy.module), lazy.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:  # which looked for a similar one among what is imported
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click leaves quietly
        except (RtesError, OperatorError, OSError) as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Trade on an RTES exchange, watch it and run it.

    Prices are money, quantities are lots. `rtes COMMAND --help` says more of each command."""


def main() -> None:
    """The entry point of the package."""
    cli(prog_name="rtes")


if __name__ == "__main__":
    main()
