"""Which modules may run compiled by mypyc, and where the build of a checkout lies.

Invariants: what runs is always what the sources say. The build of a checkout lies under build/,
not beside the sources, and carries a digest of them: once any of them changed it is ignored, and
the modules run as plain Python until the next `make compile`. An installed wheel needs none of
this, its extensions lie beside sources that nobody edits. RTES_COMPILE=0 ignores a build, too.
"""

import hashlib
import os
import sys
import sysconfig
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Final

MODULES: Final = (
    "rtes.common.blocks",
    "rtes.common.clock",
    "rtes.common.failpoint",
    "rtes.common.feed",
    "rtes.common.histogram",
    "rtes.common.journal",
    "rtes.common.link",
    "rtes.common.loop",
    "rtes.common.moves",
    "rtes.common.records",
    "rtes.common.sockets",
    "rtes.services.gateway.admission",
    "rtes.services.gateway.breaker",
    "rtes.services.gateway.core",
    "rtes.services.gateway.door",
    "rtes.services.gateway.lanes",
    "rtes.services.gateway.limits",
    "rtes.services.gateway.offences",
    "rtes.services.gateway.outbox",
    "rtes.services.gateway.routes",
    "rtes.services.gateway.sessions",
    "rtes.services.gateway.vitals",
    "rtes.services.marketdata.business",
    "rtes.services.marketdata.core",
    "rtes.services.marketdata.market",
    "rtes.services.marketdata.replica",
    "rtes.services.marketdata.shown",
    "rtes.services.marketdata.streams",
    "rtes.services.matcher.book",
    "rtes.services.matcher.core",
    "rtes.services.matcher.engine",
    "rtes.services.matcher.expiry",
    "rtes.services.matcher.liquidity",
    "rtes.services.matcher.matching",
    "rtes.services.matcher.orders",
    "rtes.services.matcher.outcomes",
    "rtes.services.matcher.reporter",
    "rtes.services.matcher.shell",
    "rtes.services.matcher.stops",
    "rtes.services.matcher.terms",
    "rtes.services.risk.checks",
    "rtes.services.risk.core",
    "rtes.services.risk.exposure",
    "rtes.services.risk.rules",
)
SUFFIX: Final = str(sysconfig.get_config_var("EXT_SUFFIX"))
DIGEST_FILE: Final = "sources.blake2b"
ROOT: Final = Path(__file__).resolve().parents[1]


def build_dir(root: Path) -> Path:
    """Where the build of the checkout at root lies, for this Python."""
    return root / "build" / "compiled" / SUFFIX.strip(".").split(".")[0]


def digest(root: Path) -> str:
    """Of all sources in the packages that have compiled modules: these may use any of them."""
    packages = sorted({module.split(".", 1)[1].rpartition(".")[0] for module in MODULES})
    found = hashlib.blake2b(digest_size=16)
    for package in packages:
        for file in sorted((root / package.replace(".", "/")).glob("*.py")):
            found.update(f"{package}/{file.name}\n".encode())
            found.update(file.read_bytes())
    return found.hexdigest()


class Finder:
    """Finds the extension modules of one build, before their sources are looked for."""

    def __init__(self, directory: Path) -> None:
        self._files = {
            str(file.relative_to(directory))[: -len(SUFFIX)].replace("/", "."): file
            for file in directory.rglob(f"*{SUFFIX}")
        }

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        file = self._files.get(name)
        return None if file is None else spec_from_file_location(name, file)


def install(root: Path = ROOT) -> None:
    """Prefer the build of this checkout from now on, if there is one and it is fresh."""
    directory = build_dir(root)
    if os.environ.get("RTES_COMPILE") != "0" and fresh(root, directory):
        sys.meta_path.insert(0, Finder(directory))


def fresh(root: Path, directory: Path) -> bool:
    """Was the build made of the sources as they are?"""
    try:
        made_of = (directory / DIGEST_FILE).read_text()
    except OSError:
        return False
    return made_of == digest(root)


def compiled() -> list[str]:
    """The modules that run compiled in this process."""
    return [name for name in MODULES if str(import_module(name).__file__).endswith(SUFFIX)]


def status(root: Path = ROOT) -> str:
    """For people: how many of the modules run compiled, or why none does."""
    count = len(compiled())
    if count:
        return f"compiled: {count} of {len(MODULES)} modules"
    if build_dir(root).exists() and not fresh(root, build_dir(root)):
        return "not compiled: the build is older than the sources, make compile renews it"
    return "not compiled"
