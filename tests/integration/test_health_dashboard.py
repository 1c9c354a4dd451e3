"""The page, in a real headless Chromium, of a real exchange that trades.

RTES_SCREENSHOTS=DIRECTORY keeps the pictures, for people to look at.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtes.client.testing import SERVICES, Mesh

from tests.browser import Browser
from tests.meshes import connect

pytestmark = pytest.mark.mesh
SIZES = {"desk": (1440, 1000), "phone": (390, 844)}


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    services = (*SERVICES, "marketdata", "snapshotter", "health")
    with Mesh(tmp_path_factory.mktemp("dashboard"), services) as mesh:
        with connect(mesh, "DEMO1") as one, connect(mesh, "DEMO2") as two:
            for level in range(8):
                one.sell("AAPL", 100 - level, 58_600 + level)
                one.buy("AAPL", 50 + level, 58_500 - level)
            two.buy("AAPL", 30, 58_600)
        yield mesh


def text(browser: Browser, identity: str) -> str:
    return str(browser.evaluate(f"document.getElementById('{identity}').innerText"))


@pytest.mark.parametrize("size", SIZES)
def test_the_page_shows_the_exchange(traded: Mesh, tmp_path: Path, size: str) -> None:
    with Browser(tmp_path / "profile", *SIZES[size]) as browser:
        browser.open(f"{traded.config.http_url}/dashboard")
        browser.until("document.querySelectorAll('.level').length == 10")  # five a side
        browser.until("document.title == 'RTES: healthy'")
        browser.until("document.querySelectorAll('#latency path').length == 6")
        assert "586.00" in text(browser, "books")
        assert text(browser, "k-open") == "16"
        for service in traded.services:
            assert f"{service} 0" in text(browser, "services")
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert browser.errors == []
        directory = os.environ.get("RTES_SCREENSHOTS")
        picture = Path(directory or tmp_path) / f"dashboard-{size}.png"
        browser.photograph(picture)
        assert picture.stat().st_size > 20_000


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
