"""Move all studies from an SQLite file into an empty PostgreSQL database.

    ecd-tune db upgrade --storage postgresql://ecd_owner@HOST/ecd_tune
    python storage/move_to_postgres.py ecd_tune.db postgresql://ecd_owner@HOST/ecd_tune

Stop all workers first. Everything is one transaction: all rows of all tables, Optuna's and
ours, with their ids, or nothing. Both databases must have the same schema version: run
`ecd-tune db upgrade` on both. The SQLite file is only read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import sqlalchemy as sa

from ecd_tune.errors import EcdTuneError, StoreError
from ecd_tune.store.db.url import parse_url

__all__ = ["move"]

VERSIONS = ("alembic_version", "ecd_alembic_version", "version_info")
CHUNK = 5000


def main() -> None:
    """Read the arguments, move, and report the numbers of rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="the SQLite file")
    parser.add_argument("url", help="the PostgreSQL database; its password in PGPASSWORD")
    arguments = parser.parse_args()
    try:
        moved = move(arguments.file, arguments.url)
    except EcdTuneError as error:
        sys.exit(f"move_to_postgres.py: {error}")
    for name, count in moved.items():
        sys.stdout.write(f"{name}: {count} rows\n")


def move(file: Path, url: str) -> dict[str, int]:
    """Move everything.

    Args:
        file: The SQLite file.
        url: The PostgreSQL database, its tables made and empty.

    Returns:
        Table to number of rows moved.

    Raises:
        StorageUrlError: The URL is not supported.
        StoreError: There is no such file, the versions differ, or the target holds studies.
    """
    if not file.is_file():
        raise StoreError(f"{file}: there is no such database")
    target_url = parse_url(url)
    if target_url.drivername == "sqlite":
        raise StoreError(f"{url}: the target must be PostgreSQL; copy a file with backup.sh")
    source = sa.create_engine(f"sqlite:///{file}")
    target = sa.create_engine(target_url, hide_parameters=True)
    try:
        with source.connect() as reading, target.begin() as writing:
            return _copy(reading, writing)
    finally:
        source.dispose()
        target.dispose()


def _copy(reading: sa.Connection, writing: sa.Connection) -> dict[str, int]:
    old, new = sa.MetaData(), sa.MetaData()
    old.reflect(reading)
    new.reflect(writing)
    _check(reading, writing, old, new)
    moved: dict[str, int] = {}
    for table in new.sorted_tables:
        if table.name in VERSIONS:
            continue
        moved[table.name] = 0
        rows = reading.execute(sa.select(old.tables[table.name])).mappings()
        for chunk in rows.partitions(CHUNK):
            writing.execute(sa.insert(table), [dict(row) for row in chunk])
            moved[table.name] += len(chunk)
        _advance_sequence(writing, table)
    return moved


def _check(
    reading: sa.Connection, writing: sa.Connection, old: sa.MetaData, new: sa.MetaData
) -> None:
    if old.tables.keys() != new.tables.keys():
        differing = ", ".join(sorted(old.tables.keys() ^ new.tables.keys()))
        raise StoreError(f"only one of them has: {differing}; run `ecd-tune db upgrade` on both")
    for name in VERSIONS[:2]:
        found = [c.execute(sa.text(f"SELECT version_num FROM {name}")).scalar() for c in
                 (reading, writing)]  # fmt: skip
        if found[0] != found[1]:
            raise StoreError(
                f"{name}: the file is at {found[0]}, the target at {found[1]}; "
                "run `ecd-tune db upgrade` on both"
            )
    if writing.execute(sa.select(sa.func.count()).select_from(new.tables["studies"])).scalar():
        raise StoreError("the target already has studies; move into an empty database")
    if reading.execute(sa.select(sa.func.count()).select_from(old.tables["ecd_leases"])).scalar():
        raise StoreError(
            "the file has running trials; stop its workers, and re-queue those of dead workers "
            "with `ecd-tune reap`"
        )


def _advance_sequence(writing: sa.Connection, table: sa.Table) -> None:
    """Set the sequence after the largest id."""
    column = next(iter(table.primary_key.columns))
    sequence = writing.execute(
        sa.select(sa.func.pg_get_serial_sequence(table.name, column.name))
    ).scalar()
    if sequence is not None:
        highest = writing.execute(sa.select(sa.func.max(column))).scalar()
        if highest is not None:
            writing.execute(sa.select(sa.func.setval(sequence, highest)))


if __name__ == "__main__":
    main()
