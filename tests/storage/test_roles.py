"""The roles of storage/init on a real server: their rights."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from ecd_tune.serve.fast_reads import FastStorage
from ecd_tune.store import Store, Worker
from ecd_tune.testing.postgres import PostgresServer
from ecd_tune.testing.store import complete, make_spec

STORAGE = Path(__file__).parents[2] / "storage"
PASSWORDS = {"owner": "owner-'; quoted", "worker": "worker pass", "reader": 'reader"$x'}


def make_roles(url: str, secrets: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as the image does: the superuser on its own machine."""
    parts = urlsplit(url)
    return subprocess.run(
        [STORAGE / "init/10-roles.sh"],
        env={"PATH": os.environ["PATH"], "PGHOST": parts.hostname, "PGPORT": str(parts.port),
             "POSTGRES_USER": parts.username, "PGPASSWORD": parts.password,
             "POSTGRES_DB": parts.path[1:], "SECRETS": str(secrets)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def secrets(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    for name, password in PASSWORDS.items():
        (folder / f"{name}_password").write_text(password)
    return folder


@pytest.fixture(scope="module")
def database(postgres, secrets) -> Iterator[str]:
    url = postgres.create_database()
    result = make_roles(url, secrets)
    assert result.returncode == 0, result.stderr
    with Store.open(as_role(url, "owner")) as store:
        store.create(make_spec())
    yield url
    postgres.drop_database(url)


def as_role(url: str, role: str, password: str | None = None) -> str:
    parts = urlsplit(url)
    secret = quote(password or PASSWORDS[role], safe="")
    return f"postgresql+psycopg://ecd_{role}:{secret}@{parts.hostname}:{parts.port}{parts.path}"


def connect(url: str, role: str, password: str | None = None) -> psycopg.Connection:
    return psycopg.connect(as_role(url, role, password).replace("+psycopg", ""), autocommit=True)


def test_a_worker_does_its_work(database):
    spec, worker = make_spec(), Worker.current()
    with Store.open(as_role(database, "worker")) as store:
        store.check(spec)
        leases = store.ask(spec, "ecdsep", count=3, worker=worker)
        assert store.renew(leases) == [True] * 3
        assert store.tell(complete(leases)) == [True] * 3
        assert store.release(store.ask(spec, "ecdsep", count=2, worker=worker)) == 2
        store.create(make_spec().model_copy(update={"name": "second"}))


def test_a_reader_reads_all_of_it(database):
    spec = make_spec()
    with Store.open(as_role(database, "reader"), create=False) as store:
        assert store.studies() == ["contract", "second"]
        assert len([r for r in store.trials(spec.key("ecdsep")) if r.value is not None]) == 3
    storage = FastStorage(as_role(database, "reader"))
    assert len(storage.get_all_studies()) >= 2
    storage.close()


TABLES = ["studies", "trials", "trial_params", "ecd_runs", "ecd_leases"]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {}",
        "INSERT INTO {} DEFAULT VALUES",
        "UPDATE {} SET {} = {}",
        "TRUNCATE {} CASCADE",
        "DROP TABLE {} CASCADE",
        "ALTER TABLE {} ADD COLUMN x int",
    ],
)
def test_a_reader_changes_nothing(database, table, statement):
    with connect(database, "reader") as connection:
        # The role's setting is a convenience that it could turn off; the grants are the lock.
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
        connection.execute("SET default_transaction_read_only = off")
        column = "study_id" if table == "studies" else "trial_id"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.format(table, column, column))


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE trials CASCADE",
        "DROP TABLE ecd_runs",
        "TRUNCATE trials CASCADE",
        "ALTER TABLE trials ADD COLUMN x int",
        "CREATE INDEX stray ON trials (number)",
        "CREATE TABLE stray (x int)",
        "CREATE SCHEMA stray",
        "DROP SCHEMA public CASCADE",
        "CREATE ROLE stray",
        "ALTER ROLE ecd_owner PASSWORD 'x'",
        "ALTER ROLE ecd_worker SUPERUSER",
        "SET ROLE ecd_owner",
        "COPY trials TO PROGRAM 'cat'",
        "SELECT pg_read_file('PG_VERSION')",
        "CREATE TEMPORARY TABLE stray (x int)",
    ],
)
@pytest.mark.parametrize("role", ["worker", "reader"])
def test_worker_and_reader_cannot_change_the_schema(database, role, statement):
    with connect(database, role) as connection:
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


VERSIONS = ["ecd_alembic_version", "alembic_version", "version_info"]


@pytest.mark.parametrize("again", [False, True], ids=["migrated", "roles made again"])
@pytest.mark.parametrize("table", VERSIONS)
def test_a_worker_cannot_touch_the_versions(database, secrets, table, again):
    """Without them every worker and the dashboard would stop."""
    if again:
        assert make_roles(database, secrets).returncode == 0
    with connect(database, "worker") as connection:
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)
        column = "schema_version" if table == "version_info" else "version_num"
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_tables_of_later_migrations_are_granted_too(database):
    with connect(database, "owner") as owner:
        owner.execute("CREATE TABLE ecd_later (id serial PRIMARY KEY, x int)")
    with connect(database, "worker") as worker:
        worker.execute("INSERT INTO ecd_later (x) VALUES (1)")
    with connect(database, "reader") as reader:
        assert reader.execute("SELECT x FROM ecd_later").fetchone() == (1,)
    with connect(database, "owner") as owner:
        owner.execute("DROP TABLE ecd_later")


def test_other_roles_cannot_connect(database):
    parts = urlsplit(database)
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'x'")
        try:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(
                    f"postgresql://stranger:x@{parts.hostname}:{parts.port}{parts.path}"
                )
        finally:
            connection.execute("DROP ROLE stranger")


def test_running_it_again_sets_new_passwords_only(database, secrets, tmp_path):
    rotated = {name: f"new {password}" for name, password in PASSWORDS.items()}
    for name, password in rotated.items():
        (tmp_path / f"{name}_password").write_text(password)
    assert make_roles(database, tmp_path).returncode == 0
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        connect(database, "worker")
    with connect(database, "worker", rotated["worker"]) as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone()[0] >= 3
    assert make_roles(database, secrets).returncode == 0
    connect(database, "worker").close()


def test_a_missing_password_stops_it(postgres_url, tmp_path):
    (tmp_path / "owner_password").write_text("x")
    (tmp_path / "worker_password").write_text("")
    result = make_roles(postgres_url, tmp_path)
    assert result.returncode == 1
    assert "worker_password is missing or empty" in result.stderr


def test_new_secrets_are_random_and_kept(tmp_path):
    folder = tmp_path / "secrets"
    for _ in range(2):
        done = subprocess.run(
            [STORAGE / "new-secrets.sh", folder], check=True, capture_output=True, text=True
        )
        found = {path.name: path.read_text() for path in folder.iterdir()}
        assert found.pop("dashboard_users").startswith("# NAME HASH"), "nobody gets in"
        assert sorted(found) == [f"{n}_password" for n in ("owner", "postgres", "reader", "worker")]
        assert not any(password in done.stdout for password in found.values())
    assert "kept" in done.stdout
    assert len(set(found.values())) == 4
    assert all(len(password) == 48 and password.isalnum() for password in found.values())
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_server_starts_with_our_settings(tmp_path):
    for line in (STORAGE / "postgresql.conf").read_text().splitlines():
        assert "password =" not in line
    # Readable by the user that the server runs as; of our own settings only the port and the
    # address, which belong to this machine, are replaced.
    copy = Path("/tmp") / f"ecd_tune_{os.getpid()}_postgresql.conf"
    copy.write_text((STORAGE / "postgresql.conf").read_text())
    copy.chmod(0o644)
    try:
        with (
            PostgresServer({"config_file": str(copy)}) as server,
            psycopg.connect(server.url().replace("+psycopg", "")) as connection,
        ):
            for name, value in (
                ("max_connections", "200"), ("fsync", "on"), ("lock_timeout", "30s"),
                ("password_encryption", "scram-sha-256"), ("shared_buffers", "512MB"),
            ):  # fmt: skip
                assert connection.execute(f"SHOW {name}").fetchone() == (value,)
            unknown = connection.execute(
                "SELECT name, error FROM pg_file_settings"
                " WHERE error IS NOT NULL AND name NOT IN ('listen_addresses', 'port')"
            ).fetchall()
            assert unknown == []
    finally:
        copy.unlink()
