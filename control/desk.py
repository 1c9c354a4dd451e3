"""Where every operation of an operator passes: authorised, written down, and only then done.

An operation is planned first (what changes, from what to what), which changes nothing. Its
record is durable before it takes effect; without a record nothing takes effect, except the
emergency stop, which must work on a full disk. Refusals are recorded like changes.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rtes.common.access import Access, AccessError, lacking
from rtes.common.config import Config
from rtes.common.errors import OperatorError
from rtes.common.live import as_run
from rtes.common.paths import Paths
from rtes.control.audit import AuditLog
from rtes.control.files import locked

EMERGENCY: Final = "emergency:stop"
_OWN: Final = ": it works on files and keys of whoever calls it; run it where they are"
LOCAL: Final = dict.fromkeys(
    ("keys generate", "config encrypt", "config decrypt", "config rotate"), _OWN
)


@dataclass(frozen=True)
class Plan:
    """What an operation is about to do. apply does it and returns the answer, JSON values."""

    target: str
    apply: Callable[[], Any]
    old: Any = None
    new: Any = None


@dataclass(frozen=True)
class Operation:
    """plan(desk, **arguments) checks the arguments and changes nothing."""

    permission: str
    plan: Callable[..., Plan]
    changes: bool = True  # False: it only reads, and only refusals are recorded


class Desk:
    """The operations on one exchange."""

    def __init__(
        self,
        config: Config,
        operations: Mapping[str, Operation],
        source: str = "",
        served: bool = False,
    ) -> None:
        """source: the profile or file that config is from; served: for callers elsewhere."""
        self.config = config
        self.source = source
        self.served = served
        self.paths = Paths(config)
        self.audit = AuditLog(self.paths)
        self._operations = operations
        self.paths.prepare()

    @property
    def access(self) -> Access:
        """As it is now: a grant holds from the next operation on."""
        return Access.load(self.paths.access_file, self.paths.run_dir.stat().st_uid)

    def perform(self, actor: str, name: str, arguments: Mapping[str, Any], reason: str = "") -> Any:
        """Do one operation for an identity. Raises OperatorError."""
        operation = self._operations.get(name)
        if operation is None:
            raise OperatorError(f"there is no operation {name} here{LOCAL.get(name, '')}")
        self._authorise(actor, name, operation, reason)
        with locked(self.paths.run_dir / "desk.lock"):
            self.config = as_run(self.config)
            plan = operation.plan(self, **arguments)
            if operation.changes:
                self._record(actor, name, operation, plan, reason)
            try:
                return plan.apply()
            except (OperatorError, OSError) as error:
                if operation.changes:
                    self._record_failure(actor, name, plan, error)
                raise

    def _record_failure(self, actor: str, name: str, plan: Plan, why: Exception) -> None:
        # without a record, too, the operator is told what failed and not that it is not recorded
        with contextlib.suppress(OperatorError, OSError):
            self.audit.append(actor, name, object=plan.target, outcome=f"failed: {why}")

    def _authorise(self, actor: str, name: str, operation: Operation, reason: str) -> None:
        permission = operation.permission
        if self.access.may(actor, permission):
            return
        said = lacking(actor, permission, name)
        try:
            self.audit.append(actor, name, outcome=f"refused: lacks {permission}", reason=reason)
        except (OperatorError, OSError) as error:
            said += f". {error}"  # refused all the same
        raise AccessError(said)

    def _record(self, actor: str, name: str, operation: Operation, plan: Plan, reason: str) -> None:
        try:
            self.audit.append(
                actor, name, object=plan.target, old=plan.old, new=plan.new, reason=reason
            )
        except (OperatorError, OSError) as error:
            if operation.permission != EMERGENCY:
                raise
            print(f"emergency stop without a record: {error}", file=sys.stderr)


def local_identity() -> str:
    """Who runs this process, as the kernel says."""
    return f"uid:{os.getuid()}"
