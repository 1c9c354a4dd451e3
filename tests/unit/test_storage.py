"""A file is replaced as a whole or not at all."""

import resource
from pathlib import Path

import pytest
from rtes.common.storage import replace


def test_a_file_has_the_new_content_and_is_private_unless_said_otherwise(tmp_path: Path) -> None:
    for mode in (0o600, 0o644):
        file = tmp_path / f"{mode}.crt"
        file.write_text("old")
        replace(file, "né", mode)
        assert file.read_bytes() == "né".encode()
        assert file.stat().st_mode & 0o777 == mode
    assert len(list(tmp_path.iterdir())) == 2


def test_what_does_not_fit_leaves_all_as_it_was(tmp_path: Path) -> None:
    """Too large for the process, as elsewhere for the disk."""
    file = tmp_path / "file"
    replace(file, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            replace(file, b"longer than that")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
