"""The matcher's process: lock the journal, recover from it, then match.

Exit codes: 64 configuration, 70 another matcher has the journal, 71 the journal is damaged,
72 too many commands stopped it, 74 the disk failed.
"""

import faulthandler
import sys

from rtes.common import logs, service, storage
from rtes.common.errors import OperatorError
from rtes.common.journal import JournalCorruptError
from rtes.common.sockets import BATCH_BYTES_MAX
from rtes.services.matcher import shell
from rtes.services.matcher.core import COMMANDS, FEED
from rtes.services.matcher.failure import CommandFailedError
from rtes.services.matcher.recovery import ReplayDivergedError


def main() -> int:
    faulthandler.enable()
    start = service.boot("matcher")
    service.freeze_heap()
    try:
        matcher = shell.recovered(start)
    except OperatorError as error:
        return _refuse(error, service.EXIT_CONFIG)
    except storage.AlreadyRunningError as error:
        return _refuse(error, storage.EXIT_ALREADY_RUNNING)
    except (JournalCorruptError, ReplayDivergedError) as error:
        return _refuse(error, storage.EXIT_JOURNAL_CORRUPT)
    except shell.TooManyPoisonedError as error:
        return _refuse(error, shell.EXIT_POISONED)
    log = logs.get()
    log.info("recovered", **matcher.recovered)
    for account, cl_ord_id in matcher.crashes.poisoned:
        log.warning("refusing what stopped the matcher", account_id=account, cl_ord_id=cl_ord_id)
    sockets = start.sockets(BATCH_BYTES_MAX)
    sockets.pull(COMMANDS, *start.wiring.bound("matcher"))
    sockets.publish(FEED, *start.wiring.bound("feed"))
    loop = start.loop(matcher.core, sockets, matcher.writer.commit)
    matcher.writer.report = loop.report
    try:
        loop.run()
    except CommandFailedError as error:
        matcher.crashes.keep_aside(error)
        raise
    except OSError as error:
        return _refuse(f"the disk failed: {error}; nothing of it was told", shell.EXIT_DISK)
    sockets.close(linger_ms=200)
    return 0


def _refuse(error: object, code: int) -> int:
    logs.get().error("ends", code=code, why=str(error))
    return code


if __name__ == "__main__":
    sys.exit(main())
