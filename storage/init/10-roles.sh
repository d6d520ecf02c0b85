#!/usr/bin/env bash
# Roles of the database: an owner that migrates and backs up, workers that write rows, readers
# that only read. The postgres image runs this once, on an empty volume; run it again to set new
# passwords (see the run book), it changes nothing else.
#
# Needs POSTGRES_DB, and in SECRETS (default /run/secrets) the files owner_password,
# worker_password and reader_password. Passwords never appear among a process's arguments.
set -euo pipefail

export SECRETS="${SECRETS:-/run/secrets}"
: "${POSTGRES_DB:?set POSTGRES_DB to the name of the database}"

for role in owner worker reader; do
    file="$SECRETS/${role}_password"
    if [ ! -s "$file" ]; then
        echo "10-roles.sh: $file is missing or empty; make all with storage/new-secrets.sh" >&2
        exit 1
    fi
done

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname "$POSTGRES_DB" \
    ${POSTGRES_USER:+--username "$POSTGRES_USER"} <<'SQL'
-- Statements with a password must not reach the server's log.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;

\set owner_password `cat "$SECRETS/owner_password"`
\set worker_password `cat "$SECRETS/worker_password"`
\set reader_password `cat "$SECRETS/reader_password"`

SELECT format('CREATE ROLE %I', role)
FROM unnest(ARRAY['ecd_owner', 'ecd_worker', 'ecd_reader']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec

ALTER ROLE ecd_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE
    CONNECTION LIMIT 10 PASSWORD :'owner_password';
ALTER ROLE ecd_worker LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE
    CONNECTION LIMIT 160 PASSWORD :'worker_password';
ALTER ROLE ecd_reader LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE
    CONNECTION LIMIT 20 PASSWORD :'reader_password';

-- A worker that hangs in a transaction would hold locks that all others wait for.
ALTER ROLE ecd_worker SET idle_in_transaction_session_timeout = '5min';
ALTER ROLE ecd_reader SET idle_in_transaction_session_timeout = '5min';
ALTER ROLE ecd_reader SET statement_timeout = '2min';
ALTER ROLE ecd_reader SET default_transaction_read_only = on;

SELECT format('ALTER DATABASE %I OWNER TO ecd_owner', current_database()) \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO ecd_worker, ecd_reader', current_database()) \gexec

ALTER SCHEMA public OWNER TO ecd_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO ecd_worker, ecd_reader;

-- What is there, and what the owner will create: no TRUNCATE, REFERENCES, TRIGGER or DDL.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ecd_worker;
-- The rows that tell the versions of the tables are the owner's: without them nobody can work. For
-- tables that come later the migrations do the same.
SELECT format('REVOKE INSERT, UPDATE, DELETE ON %I FROM ecd_worker', tablename)
FROM pg_tables
WHERE schemaname = 'public'
    AND tablename IN ('ecd_alembic_version', 'alembic_version', 'version_info') \gexec
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ecd_worker;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO ecd_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE ecd_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ecd_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE ecd_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO ecd_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE ecd_owner IN SCHEMA public
    GRANT SELECT ON TABLES TO ecd_reader;
SQL
