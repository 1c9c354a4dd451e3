"""Snapshots on disk: what cannot be read is passed over, and made anew."""

from pathlib import Path

from rtes.common.journal import Point
from rtes.common.snapshots import ENGINE, RISK, Snapshots


def test_one_that_cannot_be_read_is_replaced_by_another_of_the_same_point(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    for seq in (5, 9):
        snapshots.write(Point(seq, 0), 1, {ENGINE: "state", RISK: "state"})
    file = next(tmp_path.glob(f"*9/{ENGINE}"))
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    older = snapshots.newest(ENGINE)
    assert older is not None
    assert older[0].point.seq == 5
    snapshots.write(Point(9, 0), 1, {ENGINE: "state", RISK: "state"})
    made = snapshots.newest(ENGINE, RISK)
    assert made is not None
    assert made[0].point.seq == 9
    assert snapshots.seqs() == [5, 9]
