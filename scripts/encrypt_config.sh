#!/usr/bin/env bash
# Encrypt the secret values of a configuration: encrypt_config.sh FILE [--kid KEY_ID] [--path SETTING]
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case " $* " in
"  " | *" -h "* | *" --help "*) sed -n 2p "$0" && exit ;;
esac
ensure_environment requirements.lock
exec "$root/.venv/bin/rtes" config encrypt "$@"
