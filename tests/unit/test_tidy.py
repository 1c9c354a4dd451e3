"""The house rules, as a test: sizes, layers, purity of the cores, packaging.

Each rule lists what breaks it as file:line, so a failure reads like a compiler's message.
"""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("benchmarks", "client", "common", "control", "services")
FUNCTION_LINES_MAX = 50
FILE_LINES_MAX = 400
LINE_CHARACTERS_MAX = 100
MAIN_LINES_MAX = 60
DOCSTRING_LINES_MAX = 8
DOCSTRING_HOLDS_LAYOUTS = ("records.py", "moves.py", "marketdata.py", "riskwire.py")

# Everything in services/ is pure unless it is one of these.
SHELLS = ("__main__.py", "machine.py", "page.py", "shell.py")
PURE_COMMON = ("blocks", "checks", "enums", "events", "feed", "flags", "histogram", "invariant",
               "link", "marketdata", "messages", "placement", "records", "refusals",
               "riskwire")  # fmt: skip
PURE_CLIENT = ("bookview", "orders", "outcomes", "pace", "session")
IMPURE = {"asyncio", "datetime", "logging", "os", "random", "secrets", "socket", "structlog",
          "subprocess", "threading", "time", "uuid", "zmq"}  # fmt: skip

# What each layer may import of rtes, besides itself.
ALLOWED = {
    "common": (),
    "services": ("rtes.common",),
    "control": (
        "rtes.common", "rtes.services.snapshotter", "rtes.services.matcher.state",
        "rtes.client.blocking", "rtes.client.errors",  # it operates an exchange as its client
    ),
    "client": ("rtes.common", "rtes.control"),
    "benchmarks": ("rtes.",),
}
REPLICAS = {  # they execute or follow what other services decided, and may use these of them
    "archive": ("matcher",),
    "marketdata": ("matcher",),
    "snapshotter": ("matcher", "marketdata", "risk"),
}
NOT_OF_A_REPLICA = {"matcher": ("core", "recovery", "shell", "__main__"), "marketdata": ("shell",)}


def python_files(*directories: str) -> list[Path]:
    return sorted(p for d in directories for p in (ROOT / d).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def at(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{at(path, node.lineno)}: relative import"
            yield from ((node.lineno, f"{node.module}.{a.name}") for a in node.names)


def pure_files() -> list[Path]:
    services = [p for p in python_files("services") if p.name not in SHELLS]
    common = [ROOT / "common" / f"{name}.py" for name in PURE_COMMON]
    client = [ROOT / "client" / f"{name}.py" for name in PURE_CLIENT]
    return [p for p in (*services, *common, *client) if p.exists()]


def test_functions_fit_on_a_screen() -> None:
    long = [
        f"{at(path, node.lineno)} {node.name} has {length} lines"
        for path in python_files(*SOURCES, "tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long


def test_files_and_lines_are_short() -> None:
    long = []
    for path in python_files(*SOURCES, "tests"):
        lines = path.read_text().splitlines()
        if len(lines) > FILE_LINES_MAX:
            long.append(f"{path.relative_to(ROOT)} has {len(lines)} lines")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_CHARACTERS_MAX:
                long.append(f"{at(path, number)} has {len(line)} characters")
    assert not long


def test_mains_are_parts_lists() -> None:
    mains = [p for p in python_files(*SOURCES) if p.name == "__main__.py"]
    long = [at(p, 1) for p in mains if len(p.read_text().splitlines()) > MAIN_LINES_MAX]
    assert mains
    assert not long


def test_every_module_says_what_it_is_for() -> None:
    wrong = []
    for path in python_files(*SOURCES, "tests"):
        if not path.read_text().strip() or path.name in DOCSTRING_HOLDS_LAYOUTS:
            continue
        lines = (ast.get_docstring(tree(path)) or "").splitlines()
        if not 1 <= len(lines) <= DOCSTRING_LINES_MAX:
            wrong.append(f"{at(path, 1)} has {len(lines)} lines of docstring")
    assert not wrong


def may_import(path: Path, name: str) -> bool:
    layer, *inner = path.relative_to(ROOT).parts
    own = f"rtes.services.{inner[0]}" if layer == "services" else f"rtes.{layer}"
    if any(name == a or name.startswith(f"{a.rstrip('.')}.") for a in (own, *ALLOWED[layer])):
        return True
    if layer != "services" or not name.startswith("rtes.services."):
        return False
    service, module = name.split(".")[2:4]
    followed = REPLICAS.get(inner[0], ())
    return service in followed and module not in NOT_OF_A_REPLICA.get(service, ())


def test_layers() -> None:
    wrong = [
        f"{at(path, line)} imports {name}"
        for path in python_files(*SOURCES)
        for line, name in imports(path)
        if name.split(".")[0] in ("rtes", *SOURCES, "tests") and not may_import(path, name)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("path", "name", "allowed"),
    [
        ("common/loop.py", "rtes.common.records", True),
        ("common/loop.py", "rtes.services.risk.rules", False),
        ("services/risk/core.py", "rtes.services.matcher.engine", False),
        ("services/marketdata/core.py", "rtes.services.matcher.engine", True),
        ("services/marketdata/core.py", "rtes.services.matcher.core", False),
        ("services/gateway/core.py", "rtes.client", False),
        ("control/run.py", "rtes.client.cli", False),
        ("client/cli.py", "rtes.control.commands", True),
    ],
)
def test_the_layer_rule(path: str, name: str, allowed: bool) -> None:
    assert may_import(ROOT / path, name) is allowed


def test_cores_are_pure() -> None:
    wrong = [
        f"{at(path, line)} imports {name}"
        for path in pure_files()
        for line, name in imports(path)
        if name.split(".")[0] in IMPURE
    ]
    assert len(pure_files()) > len(PURE_COMMON)
    assert not wrong


def is_set(node: ast.expr | None) -> bool:
    """Whether an expression, or an annotation, is evidently a set."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Name(id="set" | "frozenset"):
            return True
        case ast.Subscript(value=ast.Name(id="set" | "frozenset")):
            return True
    return False


def name_of(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def set_names(module: ast.Module) -> set[str]:
    """Names of variables, attributes and parameters that hold sets."""
    names = set()
    for node in ast.walk(module):
        match node:
            case ast.AnnAssign(target=target) if is_set(node.annotation):
                names.add(name_of(target))
            case ast.Assign(targets=[target]) if is_set(node.value):
                names.add(name_of(target))
            case ast.arg(arg=name) if is_set(node.annotation):
                names.add(name)
    return names - {""}


def set_iterations(module: ast.Module) -> Iterator[int]:
    """Lines that iterate over a set: their order is that of the hashes."""
    sets = set_names(module)
    ordered = ("list", "tuple", "iter", "next", "enumerate", "zip", "map", "filter")
    for node in ast.walk(module):
        iterated: list[ast.expr] = []
        if isinstance(node, ast.For | ast.comprehension):
            iterated = [node.iter]
        elif isinstance(node, ast.Starred):
            iterated = [node.value]
        elif isinstance(node, ast.Call) and name_of(node.func) in ordered:
            iterated = node.args
        elif isinstance(node, ast.Call) and name_of(node.func) == "pop" and not node.args:
            iterated = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        for expression in iterated:
            if is_set(expression) or name_of(expression) in sets:
                yield expression.lineno


def test_cores_iterate_over_no_set() -> None:
    wrong = [at(path, line) for path in pure_files() for line in set_iterations(tree(path))]
    assert not wrong


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1, 2}: pass",
        "a = set()\n[x for x in a]",
        "def f(a: set[int]): return list(a)",
        "class C:\n def f(self):\n  self.s: set[int] = set()\n  self.s.pop()",
    ],
)
def test_the_set_rule_sees_iteration(source: str) -> None:
    assert list(set_iterations(ast.parse(source)))


def test_the_set_rule_lets_order_through() -> None:
    source = "a: set[int] = set()\nfor x in sorted(a): print(x in a)\nb = [1]\nb.pop()"
    assert not list(set_iterations(ast.parse(source)))


def test_packages_are_the_tree() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {
        "rtes." + ".".join(p.parent.relative_to(ROOT).parts)
        for d in SOURCES
        for p in (ROOT / d).rglob("__init__.py")
    }
    assert set(setuptools["packages"]) == found
    for package, directory in setuptools["package-dir"].items():
        assert package == "rtes." + directory.replace("/", ".")
    without_init = [
        at(p, 1) for p in python_files(*SOURCES) if not (p.parent / "__init__.py").exists()
    ]
    assert not without_init


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_dependency_is_pinned_and_names_no_index(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    assert lines
    assert [line for line in lines if "==" not in line or "://" in line] == []


def test_the_development_lock_extends_the_other() -> None:
    runtime = (ROOT / "requirements.lock").read_text().splitlines()
    development = (ROOT / "requirements-dev.lock").read_text().splitlines()
    assert set(runtime) - set(development) == set()
