"""One request of an operator, from bytes to bytes: what both control sockets serve.

Who asks is known before, from the socket; nothing in the request is believed about it.
"""

import json
from typing import Any

from rtes.common import logs
from rtes.common.errors import OperatorError
from rtes.control.desk import Desk


def answer(desk: Desk, actor: str, request: bytes) -> bytes:
    """{"operation", "arguments", "reason"} to {"ok": answer} or {"error": text}; never raises."""
    try:
        told = {"ok": _perform(desk, actor, json.loads(request))}
    except OperatorError as error:
        told = {"error": str(error)}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        told = {"error": f"not a request: {error}"}
    except OSError as error:
        told = {"error": str(error)}
    return json.dumps(told).encode()


def _perform(desk: Desk, actor: str, request: dict[str, Any]) -> Any:
    operation, reason = request["operation"], str(request.get("reason", ""))
    logs.get().info("asked", actor=actor, operation=operation, reason=reason)
    return desk.perform(actor, operation, request["arguments"], reason)
