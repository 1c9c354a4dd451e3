"""The table of settings in docs/configuration.md: `python -m rtes.control.config_docs [--check]`.

It is made from the schema, between two marks; the rest of the page is written by people.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python
from rtes.common.config import checkout
from rtes.common.config_schema import Config, fields, is_live, is_secret

PAGE: Final = "docs/configuration.md"
BEGIN: Final = "<!-- settings: made by python -m rtes.control.config_docs -->\n"
_HEAD: Final = "| setting | type | default | what |\n|---|---|---|---|\n"
END: Final = "<!-- end of settings -->\n"


def page_with_settings(page: str) -> str:
    """The page with its table as the schema is now. Raises ValueError without the marks."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE} must hold the lines {BEGIN!r} and {END!r}")
    return before + BEGIN + "".join(_tables()) + END + after


def _tables() -> Iterator[str]:
    properties = Config.model_json_schema()["$defs"]
    section = ""
    for path, info in fields().items():
        name, field = path.split(".")
        if name != section:
            section = name
            kind = Config.model_fields[name].annotation
            schema = properties[getattr(kind, "__name__", "")]
            text = " ".join(schema.get("description", "").split())
            yield f"\n### {name}\n{text}\n\n{_HEAD}"
        cells = (f"`{path}`", _type(schema["properties"][field]), _default(info), _what(path, info))
        yield f"| {' | '.join(cells)} |\n"
    yield "\n"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = to_jsonable_python(info.get_default(call_default_factory=True))
    return "none" if value is None else f"`{json.dumps(value)}`"


def _what(path: str, info: FieldInfo) -> str:
    marks = ["secret"] if is_secret(info) else []
    if is_live(path):
        marks.append("live")
    return " ".join([info.description or "", *(f"({mark})" for mark in marks)]).strip()


def _type(schema: dict[str, Any]) -> str:
    """In words: its type and its bounds."""
    if "anyOf" in schema:
        return " or ".join(_type(s) for s in schema["anyOf"] if s.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{v}`" for v in schema["enum"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    bounds = [
        f"{sign} {schema[key]}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
        if key in schema
    ]
    kind = {"path": "path", "password": "text"}.get(schema.get("format", ""), schema.get("type"))
    return " ".join([str(kind).replace("string", "text"), *bounds])


def main(arguments: list[str]) -> int:
    target = checkout() / PAGE
    text = target.read_text()
    made = page_with_settings(text)
    if "--check" in arguments:
        if made != text:
            print(f"{PAGE} is out of date; run python -m rtes.control.config_docs")
        return int(made != text)
    target.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
