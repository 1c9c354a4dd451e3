"""What a configuration names besides itself: instruments, keys and certificates, before a start."""

from rtes.common.config import Config, ConfigError
from rtes.common.paths import Paths
from rtes.common.refdata import Instrument, load_accounts, load_instruments
from rtes.common.service import check_made_for, server_key_pair
from rtes.common.tls import tls_context


def check_named_files(config: Config) -> None:
    """Raises OperatorError. Keys and certificates that are made at the first start may be
    missing; those that are there, or that the configuration names, must be usable."""
    listed_instruments(config)
    paths = Paths(config)
    if paths.key_file("gateway").exists():
        server_key_pair(config)
    if paths.accounts_file.exists():
        made_for = load_accounts(paths.accounts_file).environment
        check_made_for(config, made_for, paths.accounts_file)
    if config.security.tls_cert_file is not None or (paths.certs_dir / "server.crt").exists():
        tls_context(config)


def listed_instruments(config: Config) -> list[Instrument]:
    """Raises ConfigError."""
    path = config.exchange.instruments
    try:
        return load_instruments(path, config.mesh.matcher_shards).instruments
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
