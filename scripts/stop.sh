#!/usr/bin/env bash
# Stop the exchange of this checkout and leave no process, socket or port behind.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case " $* " in
*" -h "* | *" --help "*) sed -n 2p "$0" && exit ;;
esac
if [ ! -x "$python" ]; then
    say "RTES is not running."
    exit
fi
exec "$python" -m rtes.control.stop
