"""The page, in a real headless Chromium, of a real exchange that trades.

RTES_SCREENSHOTS=DIRECTORY keeps the pictures, for people to look at.
"""

import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from rtes.client.testing import Mesh
from rtes.common.placement import MEMBERS

from tests.browser import Browser
from tests.meshes import connect

pytestmark = pytest.mark.mesh
SIZES = {"desk": (1440, 1000), "phone": (390, 844)}


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with Mesh(tmp_path_factory.mktemp("dashboard"), MEMBERS) as mesh:
        with connect(mesh, "DEMO1") as one, connect(mesh, "DEMO2") as two:
            for level in range(8):
                one.sell("AAPL", 100 - level, 58_600 + level)
                one.buy("AAPL", 50 + level, 58_500 - level)
            two.buy("AAPL", 30, 58_600)
        yield mesh


def text(browser: Browser, identity: str) -> str:
    return str(browser.evaluate(f"document.getElementById('{identity}').innerText"))


def photograph(browser: Browser, directory: Path, name: str) -> None:
    picture = Path(os.environ.get("RTES_SCREENSHOTS") or directory) / f"{name}.png"
    browser.photograph(picture)
    assert picture.stat().st_size > 20_000


@pytest.mark.parametrize("size", SIZES)
def test_the_page_shows_the_exchange(traded: Mesh, tmp_path: Path, size: str) -> None:
    with Browser(tmp_path / "profile", *SIZES[size]) as browser:
        browser.open(f"{traded.config.http_url}/dashboard")
        browser.until("document.querySelectorAll('.level').length == 10")  # five a side
        browser.until("document.title == 'RTES: healthy'")
        browser.until("document.querySelectorAll('#latency path').length == 6")
        assert "586.00" in text(browser, "books")
        assert text(browser, "k-open") == "16"
        browser.until("document.getElementById('alerts').innerText == 'No alerts.'")
        assert "none on record" in text(browser, "deployment")
        for service in traded.services:
            assert f"{service} 0" in text(browser, "services")
            assert f"{service} 0\t{version('rtes')}\t" in text(browser, "versions")
        assert browser.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert browser.errors == []
        photograph(browser, tmp_path, f"dashboard-{size}")


@pytest.mark.parametrize("size", SIZES)
def test_alerts_lead_to_their_runbooks(traded: Mesh, tmp_path: Path, size: str) -> None:
    record = traded.paths.run_dir / "deployment.json"
    record.write_text('{"phase": "ROLLED_BACK", "version": "v1.2.3", "phase_started": 1}')
    traded.kill("matcher")
    with Browser(tmp_path / "profile", *SIZES[size]) as browser:
        browser.open(f"{traded.config.http_url}/dashboard")
        shown = "[...document.querySelectorAll('.alert b')].map(b => b.textContent).join()"
        wanted = "ExchangeNotReady,DeploymentFailed,ServiceUnhealthy"
        browser.until(f"{wanted!r}.split(',').every(n => {shown}.includes(n))")
        assert "pending, fires in" in text(browser, "alerts")
        assert "matcher 0" in text(browser, "alerts")
        assert text(browser, "deployment").startswith("v1.2.3 · rolled back")
        assert browser.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        photograph(browser, tmp_path, f"alerts-{size}")
        link = browser.evaluate("document.querySelector('.alert.critical a').href")
        assert browser.errors == []
    path = str(link).partition(str(traded.config.exchange.ports["http"]))[2]
    status, body = traded.get(path)
    assert (status, b"## What to do" in body) == (200, True)
    record.unlink()
    traded.start("matcher")
    traded.wait_ready()


def test_the_page_is_live_and_says_when_nobody_answers(traded: Mesh, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile", *SIZES["desk"]) as browser:
        browser.open(f"{traded.config.http_url}/")
        browser.until("document.title == 'RTES: healthy'")
        traded.kill("snapshotter")
        browser.until("document.title == 'RTES: degraded'", 5)
        assert "silent for" in text(browser, "services")
        changes = "document.getElementById('changes').innerText"
        browser.until(f"{changes}.includes('snapshotter 0 silent')")
        traded.start("snapshotter")
        browser.until("document.title == 'RTES: healthy'")
        traded.kill("health")
        browser.until("document.title == 'RTES: no answer'", 10)
        traded.start("health")
        browser.until("document.title == 'RTES: healthy'", 30)  # it comes back by itself
        assert browser.errors == []
