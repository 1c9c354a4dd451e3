"""A matcher that a certain order kills: `python crashing_matcher.py raise|segv CL_ORD_ID ...`, then
the matcher's own arguments. Everything but the one order is the real matcher's.
"""

import os
import signal
import sys
from typing import Any

from rtes.services.matcher import __main__ as matcher
from rtes.services.matcher import shell
from rtes.services.matcher.engine import Engine


class CrashingEngine:
    """An engine with a fault in it."""

    def __init__(self, *arguments: Any) -> None:
        self._engine = Engine(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def apply(self, command: Any, verdict: Any, *rest: Any) -> None:
        if command[0] == "D" and command[3] == CL_ORD_ID and verdict is None:
            if HOW == "segv":
                os.kill(os.getpid(), signal.SIGSEGV)
            raise ZeroDivisionError("a fault in the engine")
        self._engine.apply(command, verdict, *rest)


if __name__ == "__main__":
    HOW, CL_ORD_ID = sys.argv[1], int(sys.argv[2])
    del sys.argv[1:3]
    vars(shell)["Engine"] = CrashingEngine
    sys.exit(matcher.main())
