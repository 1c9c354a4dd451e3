"""The triggers of the emergency: what stops the exchange by itself. Pure.

A trigger fires when it held for its whole time, once; it is armed again when it no longer holds,
so an operator who resumes is not overruled by what they already know. When the exchange was not
stopped it fires again after a while, and until then is an alarm. So is a trigger that raises, and
fires nothing: it may be blind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rtes.common.checks import HealthStatus, Result

MEMORY_RATIO_MAX: Final = 0.95
ERROR_RATE_MAX: Final = 0.10
SUSTAINED_S: Final = 30.0
RETRY_S: Final = 10.0
# why an attempt to stop the exchange failed, empty when it did not; None while it goes on
Outcome = Callable[[], str | None]


@dataclass
class _Trigger:
    name: str
    function: Callable[[], bool]
    sustained_ns: int
    since_ns: int | None = None
    fired: bool = False
    error: str = ""
    attempt: Outcome | None = None
    failed: str = ""  # why the last attempt did
    again_ns: int = 0


class EmergencyShutdown:
    """act(reason) begins to stop the exchange; it is called from `step`."""

    def __init__(self, act: Callable[[str], Outcome]) -> None:
        self._act = act
        self._triggers: list[_Trigger] = []

    def register_trigger(
        self, name: str, function: Callable[[], bool], sustained_s: float = SUSTAINED_S
    ) -> None:
        """function() says whether it holds now; it must hold for sustained_s to fire."""
        self._triggers.append(_Trigger(name, function, int(sustained_s * 1e9)))

    def initiate_emergency_shutdown(self, reason: str) -> Outcome:
        """Stop the exchange now."""
        return self._act(reason)

    def step(self, now_ns: int) -> None:
        """Look at every trigger; called about once a second."""
        for trigger in self._triggers:
            self._look_at_attempt(trigger, now_ns)
            if self._holds(trigger):
                trigger.since_ns = now_ns if trigger.since_ns is None else trigger.since_ns
                held_ns = now_ns - trigger.since_ns
                due = held_ns >= trigger.sustained_ns and now_ns >= trigger.again_ns
                if due and not trigger.fired:
                    trigger.fired = True
                    reason = f"{trigger.name} for {held_ns / 1e9:.0f} s"
                    trigger.attempt = self.initiate_emergency_shutdown(reason)
            else:
                trigger.since_ns, trigger.fired, trigger.failed = None, False, ""

    @staticmethod
    def _look_at_attempt(trigger: _Trigger, now_ns: int) -> None:
        failed = None if trigger.attempt is None else trigger.attempt()
        if failed is None:
            return
        trigger.attempt, trigger.failed = None, failed
        if failed:
            trigger.fired, trigger.again_ns = False, now_ns + int(RETRY_S * 1e9)

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
        wrong = [f"{t.name} is blind: {t.error}" for t in self._triggers if t.error]
        wrong += [f"{t.name} did not stop trading: {t.failed}" for t in self._triggers if t.failed]
        if wrong:
            return Result(HealthStatus.UNHEALTHY, "; ".join(wrong))
        fired = [f"{t.name} {'fires' if t.attempt else 'fired'}" for t in self._triggers if t.fired]
        if fired:
            return Result(HealthStatus.DEGRADED, "; ".join(fired))
        return Result(HealthStatus.HEALTHY, f"{len(self._triggers)} armed")
