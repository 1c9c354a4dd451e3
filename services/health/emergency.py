"""The triggers of the emergency: what stops the exchange by itself. Pure.

A trigger fires when it held for its whole time, once; it is armed again when it no longer holds,
so an operator who resumes is not overruled by what they already know. A trigger that raises fires
nothing and is an alarm: it may be blind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rtes.common.checks import HealthStatus, Result

MEMORY_RATIO_MAX: Final = 0.95
ERROR_RATE_MAX: Final = 0.10
SUSTAINED_S: Final = 30.0


@dataclass
class _Trigger:
    name: str
    function: Callable[[], bool]
    sustained_ns: int
    since_ns: int | None = None
    fired: bool = False
    error: str = ""


class EmergencyShutdown:
    """act(reason) stops the exchange; it is called from `step`."""

    def __init__(self, act: Callable[[str], None]) -> None:
        self._act = act
        self._triggers: list[_Trigger] = []

    def register_trigger(
        self, name: str, function: Callable[[], bool], sustained_s: float = SUSTAINED_S
    ) -> None:
        """function() says whether it holds now; it must hold for sustained_s to fire."""
        self._triggers.append(_Trigger(name, function, int(sustained_s * 1e9)))

    def initiate_emergency_shutdown(self, reason: str) -> None:
        """Stop the exchange now."""
        self._act(reason)

    def step(self, now_ns: int) -> None:
        """Look at every trigger; called about once a second."""
        for trigger in self._triggers:
            if self._holds(trigger):
                trigger.since_ns = now_ns if trigger.since_ns is None else trigger.since_ns
                held_ns = now_ns - trigger.since_ns
                if held_ns >= trigger.sustained_ns and not trigger.fired:
                    trigger.fired = True
                    held_s = held_ns / 1e9
                    self.initiate_emergency_shutdown(f"{trigger.name} for {held_s:.0f} s")
            else:
                trigger.since_ns, trigger.fired = None, False

    @staticmethod
    def _holds(trigger: _Trigger) -> bool:
        try:
            holds = trigger.function()
        except Exception as error:  # whatever it is, the other triggers must still be looked at
            trigger.error = f"{type(error).__name__}: {error}"
            return False
        trigger.error = ""
        return holds

    def result(self) -> Result:
        """The check's result."""
        blind = [f"{t.name} is blind: {t.error}" for t in self._triggers if t.error]
        if blind:
            return Result(HealthStatus.UNHEALTHY, "; ".join(blind))
        fired = [t.name for t in self._triggers if t.fired]
        if fired:
            return Result(HealthStatus.DEGRADED, f"fired: {', '.join(fired)}")
        return Result(HealthStatus.HEALTHY, f"{len(self._triggers)} armed")
