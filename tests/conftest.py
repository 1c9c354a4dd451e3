"""Fixtures for every test: a running exchange of a module's own."""

from collections.abc import Iterator

import pytest
from rtes.client.testing import Mesh


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Real processes; tests of a module share it, so each leaves the books empty."""
    with Mesh(tmp_path_factory.mktemp("mesh")) as running:
        yield running
