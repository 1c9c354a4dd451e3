"""A real Prometheus that scrapes one exchange with the shipped rules, for the drill and tests.

It is the Debian package prometheus; scraped and evaluated is each second.
"""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from rtes.client.testing import free_port
from rtes.common.config import Config, checkout
from rtes.common.tls import TlsFiles

RULES: Final = checkout() / "deploy" / "prometheus" / "rules.yml"


class Prometheus:
    """Use as a context manager; keeps its data in directory."""

    def __init__(self, config: Config, directory: Path) -> None:
        binary = shutil.which("prometheus")
        if binary is None:
            raise SystemExit("prometheus is missing: install the Debian package prometheus")
        scrape: dict[str, Any] = {
            "job_name": "rtes",
            "static_configs": [
                {"targets": [f"{config.exchange.host}:{config.exchange.ports['http']}"]}
            ],
        }
        if config.security.tls:
            files = TlsFiles.of(config)
            scrape |= {"scheme": "https", "tls_config": {"ca_file": str(files.ca)}}
        settings = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [scrape],
        }
        file = directory / "prometheus.yml"
        file.write_text(json.dumps(settings))
        address = f"127.0.0.1:{free_port()}"
        self._url = f"http://{address}"
        self._command = [
            binary, f"--config.file={file}", f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address={address}", "--log.level=error",
        ]  # fmt: skip

    def __enter__(self) -> "Prometheus":
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}{path}", timeout=5) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        """The samples of an expression; none while it does not answer."""
        try:
            found = self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        except OSError:
            return []
        result: list[Any] = found["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """All rules as evaluated last. Raises OSError."""
        return [rule for group in self._get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def alerts(self) -> dict[str, str]:
        """pending or firing, by the name of the alert; empty while it does not answer."""
        try:
            found = self._get("/api/v1/alerts")["alerts"]
        except OSError:
            return {}
        states: dict[str, str] = {}
        for alert in found:
            name = alert["labels"]["alertname"]
            if states.get(name) != "firing":
                states[name] = alert["state"]
        return states
