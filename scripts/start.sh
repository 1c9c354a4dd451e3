#!/usr/bin/env bash
# Start the exchange: start.sh [--profile dev|staging|prod] [--set PATH=VALUE] [--no-bots] [--foreground]
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case " $* " in
*" -h "* | *" --help "*) sed -n 2p "$0" && exit ;;
esac
ensure_environment requirements.lock
exec "$python" -m rtes.control.start "$@"
