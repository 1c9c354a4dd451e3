"""Asking for a page of health over HTTP, as this host's own tools and tests do.

Who has security.http_token shows it, and with TLS the client's certificate if there is one.
"""

import http.client
from typing import Final

from rtes.common.access import AccessError
from rtes.common.config import Config
from rtes.common.tls import http_connection

ANSWER_S_MAX: Final = 5.0
_REFUSED: Final = (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN)


class NoAnswerError(ConnectionError):
    """Nobody answers there, or not in HTTP."""


def how_to_see(config: Config) -> str:
    """What to do when security.http_token is asked for."""
    if config.security.http_token:
        return "the one that was shown is not it (RTES__SECURITY__HTTP_TOKEN)"
    return "set RTES__SECURITY__HTTP_TOKEN to it"


def page(config: Config, path: str) -> tuple[int, bytes]:
    """(status, body). Raises NoAnswerError, or AccessError when more is needed to see it."""
    token = config.security.http_token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    try:
        connection = http_connection(config, ANSWER_S_MAX)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(
            f"no answer from {config.http_url}{path} ({error}); is the exchange running "
            "(scripts/start.sh)?"
        ) from None
    if status in _REFUSED:
        said = body.decode(errors="replace").strip()
        hint = f"; {how_to_see(config)}" if status == http.HTTPStatus.UNAUTHORIZED else ""
        raise AccessError(f"{said}{hint}")
    return status, body
