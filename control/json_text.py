"""Changing values in a JSON file and nothing else: layout and order stay as people made them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

_SPACE: Final = " \t\r\n"
_DECODER: Final = json.JSONDecoder()


def replace_values(text: str, values: Mapping[str, Any]) -> str:
    """text with the values at these paths (like exchange.tcp_port) replaced. Raises KeyError
    when one is not there, ValueError when text is not JSON."""
    json.loads(text)
    spans = dict(_spans(text, _skip(text, 0), ""))
    for path in sorted(values, key=lambda p: -spans[p][0]):
        start, end = spans[path]
        text = text[:start] + json.dumps(values[path]) + text[end:]
    return text


def _spans(text: str, at: int, path: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """(path, (start, end)) of everything in the object at `at`, outer values last."""
    if text[at] != "{":
        yield path, (at, _DECODER.raw_decode(text, at)[1])
        return
    end = _skip(text, at + 1)
    while text[end] != "}":
        name, end = _DECODER.raw_decode(text, end)
        value = _skip(text, _skip(text, end) + 1)
        inner = f"{path}.{name}" if path else name
        yield from _spans(text, value, inner)
        end = _skip(text, _DECODER.raw_decode(text, value)[1])
        if text[end] == ",":
            end = _skip(text, end + 1)
    yield path, (at, end + 1)


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at
