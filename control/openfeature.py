"""The exchange's flags by the OpenFeature API, for tools; not for what is on an order's path.

    api.set_provider(RtesProvider("prod"))
    api.get_client().get_boolean_value("fair_credit", False, EvaluationContext("DEMO1"))

The targeting key is the flag's unit. Flags are boolean; what operators set holds at once.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata
from rtes.common.config import running
from rtes.common.errors import OperatorError
from rtes.common.flags import KNOWN, Rule, decide
from rtes.common.paths import Paths
from rtes.control.flags import Rules

T = TypeVar("T", bound=FlagValueType)
Context = EvaluationContext | None
REASONS: Final = {
    "unset": Reason.DEFAULT,
    "kill": Reason.DISABLED,
    "percentage": Reason.SPLIT,
    "default": Reason.STATIC,
}  # others: somebody was named


class RtesProvider(AbstractProvider):
    """profile: dev, staging, prod, or a configuration file."""

    def __init__(self, profile: str) -> None:
        super().__init__()
        self._config = running(profile)
        self._paths = Paths(self._config)

    def get_metadata(self) -> Metadata:
        return Metadata("rtes")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: Context = None
    ) -> FlagResolutionDetails[bool]:
        """Never raises: what cannot be said is the default, with its error."""
        try:
            rules = Rules.of(self._config, self._paths).effective
        except (OperatorError, OSError, ValueError) as error:
            return _fault(default_value, ErrorCode.GENERAL, str(error))
        if flag_key not in rules and flag_key not in KNOWN:
            return _fault(default_value, ErrorCode.FLAG_NOT_FOUND, f"there is no flag {flag_key}")
        return _decided(flag_key, rules.get(flag_key), default_value, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: Context = None
    ) -> FlagResolutionDetails[str]:
        return _not_boolean(flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: Context = None
    ) -> FlagResolutionDetails[int]:
        return _not_boolean(flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: Context = None
    ) -> FlagResolutionDetails[float]:
        return _not_boolean(flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: Context = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        return _not_boolean(flag_key, default_value, evaluation_context)


def _decided(
    name: str, rule: Rule | None, default: bool, context: Context
) -> FlagResolutionDetails[bool]:
    unit = context.targeting_key if context else None
    if not unit:
        return _fault(default, ErrorCode.TARGETING_KEY_MISSING, f"say for whom {name} is asked")
    said = context.attributes if context else {}
    attributes = {k: v for k, v in said.items() if isinstance(v, str)}
    on, reason = decide(name, rule, unit, attributes)
    why = REASONS.get(reason, Reason.TARGETING_MATCH)
    return FlagResolutionDetails(on, reason=why, variant="on" if on else "off")


def _not_boolean(name: str, default: T, _context: Context) -> FlagResolutionDetails[T]:
    return _fault(default, ErrorCode.TYPE_MISMATCH, f"{name} is on or off: ask for a boolean")


def _fault(default: T, code: ErrorCode, said: str) -> FlagResolutionDetails[T]:
    return FlagResolutionDetails(default, code, said, Reason.ERROR)
