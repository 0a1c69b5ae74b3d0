"""What a writer finds when it opens a store is made true again. It knows files and rows; nothing here is fatal but a lost disk.

a segment longer than the index says: what is sound behind it is entered, the torn rest is cut off
shorter, or damaged where it was not written through: those blocks are quarantined
not there: its blocks are set aside until it is back
not in the index: its blocks are entered; so an index that is lost or damaged is rebuilt
"""

from __future__ import annotations

from pathlib import Path

from user_gym.system.buffer import connection, schema
from user_gym.system.buffer.catalog import Catalog
from user_gym.system.buffer.files import FOLDER, HERE, Files


def recovered(folder: Path, files: Files, durable: bool) -> Catalog:
    """The catalog of a store, all of it true. Raises WrongRun, Unwritable, NoSpace."""
    (folder / FOLDER).mkdir(exist_ok=True)
    database = connection.connect_writer(folder, durable)
    try:
        if not schema.check(database, folder / connection.NAME):
            schema.create(database)
    except BaseException:
        database.close()
        raise
    catalog = Catalog(database)
    files.put(catalog.places())
    return catalog


def unfinished(catalog: Catalog) -> list[tuple[str, int, int]]:
    """By group the newest segment: group, number and bytes."""
    query = "SELECT raw, max(id), bytes FROM segments WHERE place = ? AND state = 'live' GROUP BY raw"
    return [("raw" if raw else "training", number, size) for raw, number, size in catalog.database.execute(query, (HERE,))]
