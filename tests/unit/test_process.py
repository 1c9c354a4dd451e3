"""Cores are checked before they are used; a process dies with its parent."""

import os
import subprocess
import sys
import time

import pytest
from rtes.common.process import CoreError, check_cores, started


def test_a_core_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CoreError, match=r"cores\.risk = \[9999\]: core 9999 does not exist"):
        check_cores([9999], "cores.risk")


def test_pinning() -> None:
    core = min(os.sched_getaffinity(0))
    code = (
        f"from rtes.common.process import pin; import os; pin([{core}], 'x');"
        "print(os.sched_getaffinity(0))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert told.stdout.strip() == f"{{{core}}}"


def test_a_child_dies_with_its_parent() -> None:
    child = "from rtes.common.process import die_with_parent as d; d(); print(flush=True); input()"
    parent = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)"
    )
    arguments = [sys.executable, "-c", parent]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return  # dead; nobody collected it yet
        except OSError:
            return
        time.sleep(0.02)
    pytest.fail("the child outlived its parent")


def test_when_a_process_began_says_whether_it_lives() -> None:
    child = subprocess.Popen(["sleep", "60"])
    assert 0 < started(os.getpid()) <= started(child.pid) == started(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert started(child.pid) == -1  # a zombie: nobody has waited for it
    child.wait()
    assert started(child.pid) == -1
