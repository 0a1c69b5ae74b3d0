"""What a store has to say of itself in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from user_gym.system.buffer import connection
from user_gym.system.buffer.files import HERE
from user_gym.system.buffer.lookup import Lookup


def stats(folder: Path, lookup: Lookup) -> Mapping[str, float]:
    """Transitions that live, all there ever were, and why others do not; segments, and bytes on disk and in memory."""
    live = lookup.live
    with lookup.reading() as catalog:
        run = catalog.database.execute
        gaps = dict(run("SELECT reason, sum(steps) FROM gaps GROUP BY reason").fetchall())
        segments, size, held, cold = run(
            "SELECT count(*), total(bytes), total(live), total(bytes * (place != ?)) FROM segments",
            (HERE,),
        ).fetchone()
        quarantined = run("SELECT count(*) FROM quarantine").fetchone()[0]
    return {
        "transitions": len(live),
        "transitions_ever": live.total,
        **{f"transitions_{reason}": gaps.get(reason, 0) for reason in ("pruned", "quarantined", "orphaned")},
        "quarantined_blocks": quarantined,
        "segments": segments,
        "segment_bytes": size,
        "live_bytes": held,
        "cold_bytes": cold,
        "index_bytes": sum(file.stat().st_size for file in folder.glob(f"{connection.NAME}*")),
        "index_memory_bytes": lookup.nbytes,
    }
