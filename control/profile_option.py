"""--profile, as every command has it."""

import click

profile_option = click.option(
    "--profile",
    envvar="RTES_ENVIRONMENT",
    default="dev",
    show_default=True,
    help="Which exchange: dev, staging, prod, or a configuration file.",
)
