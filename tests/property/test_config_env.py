"""The grammar of overrides: every setting is found under both spellings in any case, with any
suffix; and no name whatsoever does anything but set, be ignored, be warned of or be refused.
"""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st
from rtes.common.config_env import ConfigError, read_environment, shell_name
from rtes.common.config_schema import PROFILES, fields

PATHS = sorted(p for p, info in fields().items() if info.annotation is str)
SUFFIXES = ["", *PROFILES]


def mixed(name: str, upper: list[bool]) -> str:
    return "".join(c.upper() if up else c.lower() for c, up in zip(name, upper, strict=True))


@given(st.data())
def test_both_spellings_of_every_setting(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(PATHS))
    suffix = data.draw(st.sampled_from(SUFFIXES))
    environment = data.draw(st.sampled_from(["dev", "staging", "prod"]))
    cases = st.lists(st.booleans(), min_size=len(path), max_size=len(path))
    dotted = "RTES_" + mixed(path, data.draw(cases)) + (suffix and f"_{suffix}")
    shell = shell_name(path) + (suffix and f"__{suffix.upper()}")
    value = data.draw(st.text(max_size=20))
    found = read_environment({dotted: value, shell: value}, environment).by_path
    if suffix and PROFILES[suffix] != environment:
        assert found == {}
    else:
        assert [s.value for s in found[path]] == [value, value]


@given(
    st.text(alphabet="abcDEF_.=0 ", max_size=20).map("RTES_".__add__),
    st.text(max_size=20),
    st.sampled_from(["dev", "staging", "prod"]),
)
def test_no_name_breaks_the_reader(name: str, value: str, environment: str) -> None:
    with contextlib.suppress(ConfigError):
        found = read_environment({name: value}, environment)
        assert bool(found.by_path) != bool(found.warnings)


@given(st.lists(st.integers(0, 63), max_size=8))
def test_a_list_is_json(cores: list[int]) -> None:
    found = read_environment({"RTES__CORES__MATCHER": json.dumps(cores)}, "dev").by_path
    assert found["cores.matcher"][0].value == cores
