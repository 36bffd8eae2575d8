"""Seals: a checksum of every row of a store, which the database writes itself and which is compared as a run is opened.

A disk or a copy that went wrong may change a number to another that is as possible, or bring back what a page held
before. SQLite sees damage of its own structures only; with seals, what is read of a run is what was written. The seals
of a checkpoint's files are kept in the row that names it.
"""

from __future__ import annotations

import marshal
import sqlite3
import zlib
from pathlib import Path
from typing import Any

_SCHEMA = "sqlite_master"
_TABLE = """
CREATE TABLE seals (name TEXT, place INTEGER, seal INTEGER NOT NULL, PRIMARY KEY (name, place)) WITHOUT ROWID
"""
# Of the row as it is kept, which need not be as it was given: of -0.0 SQLite keeps 0.0. Rows are never updated.
_INSERTED = """
CREATE TRIGGER seal_{table} AFTER INSERT ON {table} BEGIN
    INSERT INTO seals SELECT '{table}', rowid, seal({columns}) FROM {table} WHERE rowid = NEW.rowid;
END
"""
_DELETED = """
CREATE TRIGGER unseal_{table} AFTER DELETE ON {table} BEGIN
    DELETE FROM seals WHERE name = '{table}' AND place = OLD.rowid;
END
"""
# One statement, so that what another process writes meanwhile is not seen by halves.
_COUNTS = """
SELECT (SELECT COUNT(*) FROM seals WHERE name = '{table}'), COUNT(*), TOTAL(seals.seal IS seal({columns}))
FROM {table} LEFT JOIN seals ON seals.name = '{table}' AND seals.place = {table}.rowid
"""


def taught(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return a connection after it was made able to write to tables that are sealed, and to compare seals."""
    connection.create_function("seal", -1, _seal)
    connection.execute("PRAGMA recursive_triggers = ON")  # a row that is replaced is deleted, too
    return connection


def add(connection: sqlite3.Connection) -> None:
    """Seal the tables of a new store, before anything is in them, and what they are made of."""
    connection.execute(_TABLE)
    for table in _tables(connection):
        columns = _columns(connection, table)
        connection.execute(_INSERTED.format(table=table, columns=columns))
        connection.execute(_DELETED.format(table=table))
    connection.execute("INSERT INTO seals VALUES (?, 0, ?)", (_SCHEMA, _seal_of_schema(connection)))


def broken(connection: sqlite3.Connection) -> bool:
    """Tell whether a row differs from what was written, has no seal, or is missing."""
    try:
        sealed = connection.execute("SELECT seal FROM seals WHERE name = ?", (_SCHEMA,)).fetchone()
        if sealed != (_seal_of_schema(connection),):
            return True
        counts = [
            connection.execute(_COUNTS.format(table=table, columns=_columns(connection, table))).fetchone()
            for table in _tables(connection)
        ]
    except sqlite3.OperationalError as error:
        # A table that is missing, or text that is none; what Python itself cannot read has no code.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
            raise
        return True
    return any(not seals == rows == sound for seals, rows, sound in counts)


def of_files(folder: Path) -> dict[str, int]:
    """Return the seals of all files in a folder that is kept beside a store, by their paths in it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): of_file(path) for path in paths}


def of_file(path: Path) -> int:
    """Return the seal of a file."""
    return zlib.crc32(path.read_bytes())


def _tables(connection: sqlite3.Connection) -> list[str]:
    query = f"SELECT name FROM {_SCHEMA} WHERE type = 'table' AND name != 'seals' ORDER BY name"
    return [name for (name,) in connection.execute(query)]


def _columns(connection: sqlite3.Connection, table: str) -> str:
    return ", ".join(f"{table}.{row[1]}" for row in connection.execute(f"PRAGMA table_info({table})"))


def _seal(*values: Any) -> int:
    # The quickest of what tells any two rows apart; this version of it has been the same in every Python 3.
    return zlib.crc32(marshal.dumps(values, 2))


def _seal_of_schema(connection: sqlite3.Connection) -> int:
    return _seal(*connection.execute(f"SELECT type, name, sql FROM {_SCHEMA} ORDER BY name").fetchall())
