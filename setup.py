"""Optional compilation of the hot modules with mypyc; everything else is in pyproject.toml.

Compiles when a C compiler and mypy are there; else, or when that fails, the same sources run as
they are. RTES_COMPILE=0 does not try, RTES_COMPILE=1 insists. In a checkout the extensions go
under build/, never beside the sources (see common/compiled.py).
"""

import os
import runpy
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
COMPILED = runpy.run_path(str(ROOT / "common" / "compiled.py"))
DIGEST = COMPILED["digest"](ROOT)  # before: an edit during the build must not count as built
WISH = os.environ.get("RTES_COMPILE", "")


def possible():
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
    headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    return bool(WISH != "0" and find_spec("mypyc") and compiler and headers)


def extensions():
    """The modules as mypyc extensions. Under links/ the tree looks like the package it becomes."""
    from mypyc.build import mypycify  # noqa: PLC0415 - mypy may be missing

    links = ROOT / "build" / "links"
    shutil.rmtree(links, ignore_errors=True)
    (links / "rtes").mkdir(parents=True)
    for name in ("common", "services"):
        (links / "rtes" / name).symlink_to(ROOT / name)
    os.environ["MYPYPATH"] = str(links)
    files = [str(links / f"{m.replace('.', '/')}.py") for m in COMPILED["MODULES"]]
    options = ["--config-file=", "--namespace-packages", "--explicit-package-bases"]
    target = str(ROOT / "build" / "mypyc")
    found = mypycify([*options, "--ignore-missing-imports", *files], target_dir=target)
    if sys.platform == "linux":  # nothing replaces our functions at run time: calls may be inlined
        inlined = ["-fvisibility=hidden", "-fno-semantic-interposition"]
        for extension in found:  # a list for each: mypycify gives all of them the same one
            extension.extra_compile_args = [*extension.extra_compile_args, *inlined]
    return found


class Compiling(Distribution):
    def has_ext_modules(self):
        return possible()


class BuildExt(build_ext):
    """All modules or none: a half compiled package would not import."""

    def finalize_options(self):
        if not self.distribution.ext_modules and possible():
            try:
                self.distribution.ext_modules = extensions()
            except (Exception, SystemExit) as error:
                self._failed(error)
        super().finalize_options()

    def run(self):
        if not self.extensions:
            if WISH == "1":
                sys.exit("compiling needs a C compiler, the headers of Python, and mypy in .venv")
            return
        try:
            super().run()
        except (Exception, SystemExit) as error:
            self._failed(error)
            for output in self.get_outputs():
                Path(output).unlink(missing_ok=True)
            self.extensions = []

    def _failed(self, error):
        if WISH == "1":
            raise error
        print(f"rtes: compiling failed, it will run uncompiled: {error}", file=sys.stderr)

    def copy_extensions_to_source(self):
        target = COMPILED["build_dir"](ROOT)
        shutil.rmtree(target, ignore_errors=True)
        for extension in self.extensions:
            name = self.get_ext_filename(self.get_ext_fullname(extension.name))
            file = target / name
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(self.build_lib) / name, file)
        (target / COMPILED["DIGEST_FILE"]).write_text(DIGEST)


setup(distclass=Compiling, cmdclass={"build_ext": BuildExt})
