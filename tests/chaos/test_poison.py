"""An order that kills the matcher is refused once it did so twice, and nothing else is."""

import json
import signal
from pathlib import Path

import pytest
from rtes.client import Rejected
from rtes.client.testing import SERVICES, Mesh
from rtes.common import failpoint
from rtes.common.enums import OrdStatus
from rtes.common.refdata import load_accounts
from rtes.common.refusals import Code
from rtes.services.matcher.shell import CRASHES_MAX

from tests.meshes import audit, connect, until

pytestmark = pytest.mark.mesh
WRAPPER = str(Path(__file__).with_name("crashing_matcher.py"))
POISON = 3  # the cl_ord_id
KEPT_ASIDE = "matcher.kept_aside"
HOW = {"raise": 1, "segv": -signal.SIGSEGV, KEPT_ASIDE: -signal.SIGKILL}


@pytest.mark.parametrize("how", HOW)
def test_what_crashes_the_matcher_twice_is_refused(tmp_path: Path, how: str) -> None:
    program = (WRAPPER, "segv" if how == "segv" else "raise", str(POISON))
    environ = {failpoint.VARIABLE: KEPT_ASIDE} if how == KEPT_ASIDE else {}
    with Mesh(tmp_path, SERVICES) as mesh:
        mesh.kill("matcher")
        mesh.start("matcher", program, **environ)
        mesh.wait_ready()
        with connect(mesh, "DEMO1") as client:
            before = client.buy("AAPL", 1, 58_000)
            other = client.buy("AAPL", 2, 58_000)
            poison = client.buy("AAPL", 3, 58_000, wait=False)
            behind = client.buy("AAPL", 4, 58_000, wait=False)
            for _ in range(CRASHES_MAX):
                assert mesh.processes["matcher"].wait(20) == HOW[how]
                mesh.start("matcher", program, **environ)
            until(client, lambda: client.in_flight == 0)
            assert (poison.status, poison.reject_code) == (OrdStatus.REJECTED, Code.POISONED)
            assert [o.leaves for o in (before, other, behind)] == [1, 2, 4]
            mesh.restart("matcher")  # without the fault: the refusal is in the journal
            mesh.wait_ready()
            assert poison.cl_ord_id == POISON
            with pytest.raises(Rejected):
                client.cancel(POISON, "AAPL")
            client.cancel(before)
        account = next(a.id for a in load_accounts(mesh.paths.accounts_file).accounts)
        aside = mesh.paths.poison_dir(0) / f"{account}-{POISON}.json"
        named = f"account_id={account} cl_ord_id={POISON}"
        assert f"refusing what stopped the matcher service='matcher' shard=0 {named}" in mesh.log(
            "matcher"
        )
        if how == "segv":  # nothing could be written then; the log has what faulthandler saw
            assert not aside.exists()
            assert "Fatal Python error: Segmentation fault" in mesh.log("matcher")
        else:
            kept = json.loads(aside.read_text())
            assert kept["command"][3] == POISON
            assert "ZeroDivisionError: a fault in the engine" in "".join(kept["traceback"])
        audit(mesh)
