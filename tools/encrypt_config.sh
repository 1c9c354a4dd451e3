#!/usr/bin/env bash
# The deployment guide's spelling of scripts/encrypt_config.sh.
exec "$(dirname "${BASH_SOURCE[0]}")/../scripts/encrypt_config.sh" "$@"
