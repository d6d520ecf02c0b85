#!/usr/bin/env bash
# Restore a backup of backup.sh. Stop all workers and the dashboard first.
#
#   storage/restore.sh [--force] [--storage URL] BACKUP
#
# URL as for ecd-tune, default $ECD_TUNE_STORAGE. A database that is not empty is rejected
# without --force. With it, an SQLite file is kept as FILE.before-restore.TIME, and the tables in
# PostgreSQL are replaced in one transaction. On PostgreSQL use the owner
# (ecd_owner); a password comes from PGPASSWORD or ~/.pgpass.
set -euo pipefail
umask 077

fail() {
    echo "restore.sh: $*" >&2
    exit 1
}

force="" storage="${ECD_TUNE_STORAGE:-}" backup=""
while [ $# -gt 0 ]; do
    case "$1" in
        --force) force=1 ;;
        --storage) storage="${2:?--storage needs a URL}"; shift ;;
        -*) fail "unknown option $1; usage: restore.sh [--force] [--storage URL] BACKUP" ;;
        *) [ -z "$backup" ] || fail "one BACKUP only, not also $1"; backup="$1" ;;
    esac
    shift
done
[ -n "$backup" ] || fail "usage: restore.sh [--force] [--storage URL] BACKUP"
[ -n "$storage" ] || fail "no database: use --storage URL or set ECD_TUNE_STORAGE"
[ -f "$backup" ] || fail "$backup: there is no such file"
[ -f "$backup.sha256" ] || fail "$backup.sha256 is missing: the backup may be unfinished"
read -r expected _ < "$backup.sha256" || true
sum="$(sha256sum < "$backup")"
[ "${sum%% *}" = "$expected" ] || fail "$backup does not match $backup.sha256: it is damaged"

case "$storage" in
    sqlite:///* | sqlite+pysqlite:///*)
        target="${storage#*:///}"
        if [ "$(head -c 15 -- "$backup")" != "SQLite format 3" ]; then
            fail "$backup is no SQLite database; a dump of PostgreSQL goes to a postgresql:// URL"
        fi
        [ -d "$(dirname -- "$target")" ] || fail "$(dirname -- "$target") is no folder"
        if [ -e "$target" ]; then
            [ -n "$force" ] || fail "$target is there already; --force keeps it aside"
            # Turning the log off works only if no other process has the file open.
            "${PYTHON:-python3}" - "$target" <<'PYTHON' || fail "$target is in use: stop its workers"
import sqlite3
import sys

try:
    connection = sqlite3.connect(sys.argv[1], timeout=1)
    mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
    connection.execute("BEGIN EXCLUSIVE")
    connection.close()
except sqlite3.OperationalError as error:
    sys.exit(str(error))
except sqlite3.DatabaseError:
    mode = "delete"  # damaged: not in use, and kept
sys.exit(0 if mode == "delete" else f"journal mode {mode}")
PYTHON
            aside="$target.before-restore.$(date -u +%Y%m%dT%H%M%SZ)"
            [ ! -e "$aside" ] || fail "$aside is there already; wait a second"
        fi
        partial="$target.partial.$$"
        trap 'rm -f -- "$partial"' EXIT
        cp -- "$backup" "$partial"
        sync -- "$partial"
        if [ -n "${aside:-}" ]; then
            mv -- "$target" "$aside"
            for rest in -wal -shm; do
                [ ! -e "$target$rest" ] || mv -- "$target$rest" "$aside$rest"
            done
            echo "kept $aside"
        fi
        mv -n -- "$partial" "$target"
        [ ! -e "$partial" ] || fail "$target has appeared meanwhile"
        sync -- "$(dirname -- "$target")"
        ;;
    postgres://* | postgresql://* | postgresql+psycopg://*)
        address="postgresql://${storage#*://}"
        login="${address#postgresql://}"
        login="${login%%/*}"
        case "$login" in
            *:*@*) fail "leave the password out of the URL: set PGPASSWORD or write ~/.pgpass" ;;
        esac
        case "$address" in
            *[?\&]password=*) fail "leave the password out of the URL: set PGPASSWORD" ;;
        esac
        pg_restore --list "$backup" > /dev/null || fail "$backup is no dump of PostgreSQL"
        tables="$(psql --no-psqlrc --no-password --tuples-only --no-align --dbname="$address" \
            --command="SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")" \
            || fail "the database does not answer"
        if [ "$tables" != 0 ] && [ -z "$force" ]; then
            fail "the database has $tables tables already; --force replaces them"
        fi
        # The schema itself belongs to the database's roles and is never dropped.
        list="$(mktemp)"
        trap 'rm -f -- "$list"' EXIT
        pg_restore --list "$backup" | grep -v -E ' (SCHEMA|COMMENT) - ' > "$list"
        pg_restore --no-password --single-transaction --exit-on-error --no-owner \
            --no-privileges --use-list="$list" ${force:+--clean --if-exists} \
            --dbname="$address" "$backup" || fail "pg_restore failed; the database is as before"
        ;;
    *) fail "only sqlite:///FILE and postgresql://USER@HOST:PORT/DATABASE can be restored" ;;
esac
echo "restored; now run: ecd-tune db check"
