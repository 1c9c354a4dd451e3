"""The deployment that is under way, as its record in the run directory tells. Pure.

The record is one JSON object, replaced whole at every change of phase:
{"phase": "RAMP", "version": "v1.2.3", "started": seconds, "phase_started": seconds}. No record
means that nothing was deployed by record: idle.
"""

import json
from typing import Any, Final

FILE: Final = "deployment.json"
IDLE: Final = "IDLE"
FAILURES: Final = ("FAILED", "ROLLING_BACK", "ROLLED_BACK")
IN_PROGRESS: Final = (
    "VALIDATING", "STARTING", "HEALTH_CHECK", "SHADOW", "RAMP", "PAUSED", "FULL", "BAKE",
)  # fmt: skip
PHASES: Final = (IDLE, *IN_PROGRESS, "SUCCEEDED", *FAILURES)


def deployment_gauges(record: str) -> dict[str, float]:
    """rtes_deployment_status and the phase, from the record's text; empty text: idle. A record
    that cannot be read counts as a failure: nobody knows what runs."""
    phase, since = IDLE, 0.0
    try:
        if record:
            tree = json.loads(record)
            phase, since = str(tree["phase"]), float(tree["phase_started"])
    except (ValueError, TypeError, KeyError):
        phase = "FAILED"
    gauges = {f"rtes_deployment_phase.{name}": float(name == phase) for name in PHASES}
    gauges["rtes_deployment_status"] = float(phase in PHASES and phase not in FAILURES)
    if phase in IN_PROGRESS:
        gauges["rtes_deployment_phase_start_timestamp_seconds"] = since
    return gauges


def shown(record: str) -> dict[str, Any]:
    """phase, version and since (seconds since the epoch) for the page; empty without a record."""
    try:
        tree = json.loads(record) if record else None
        if tree is None:
            return {}
        phase, since = str(tree["phase"]), float(tree["phase_started"])
        return {"phase": phase, "version": str(tree.get("version", "")), "since": since}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {"phase": "unreadable", "version": "", "since": 0.0}
