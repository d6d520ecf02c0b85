#!/usr/bin/env bash
# Back up a study database while it is in use.
#
#   storage/backup.sh [--force] [--storage URL] TARGET
#
# URL as for ecd-tune, default $ECD_TUNE_STORAGE. SQLite: a copy by SQLite's online backup, one
# file that can be opened directly. PostgreSQL: pg_dump's custom format, one consistent snapshot.
# TARGET.sha256 is written next to it. TARGET is written completely or not at all; an existing one
# is not replaced without --force. A password comes from PGPASSWORD or ~/.pgpass, never from the URL.
set -euo pipefail
umask 077

fail() {
    echo "backup.sh: $*" >&2
    exit 1
}

force="" storage="${ECD_TUNE_STORAGE:-}" target=""
while [ $# -gt 0 ]; do
    case "$1" in
        --force) force=1 ;;
        --storage) storage="${2:?--storage needs a URL}"; shift ;;
        -*) fail "unknown option $1; usage: backup.sh [--force] [--storage URL] TARGET" ;;
        *) [ -z "$target" ] || fail "one TARGET only, not also $1"; target="$1" ;;
    esac
    shift
done
[ -n "$target" ] || fail "usage: backup.sh [--force] [--storage URL] TARGET"
[ -n "$storage" ] || fail "no database: use --storage URL or set ECD_TUNE_STORAGE"
[ -d "$(dirname -- "$target")" ] || fail "$(dirname -- "$target") is no folder"
[ ! -d "$target" ] || fail "$target is a folder"
if [ -e "$target" ] && [ -z "$force" ]; then
    fail "$target is there already; choose another name, or --force to replace it"
fi

partial="$target.partial.$$"
trap 'rm -f -- "$partial" "$partial-journal" "$partial.sha256"' EXIT

case "$storage" in
    sqlite:///* | sqlite+pysqlite:///*)
        source="${storage#*:///}"
        [ -f "$source" ] || fail "$source: there is no such database"
        "${PYTHON:-python3}" - "$source" "$partial" <<'PYTHON' || fail "SQLite's backup failed"
import sqlite3
import sys
from pathlib import Path

source, target = sys.argv[1:]
# Only read: a wrong name must not create an empty database.
reader = sqlite3.connect(f"{Path(source).absolute().as_uri()}?mode=ro", uri=True, timeout=60)
copy = sqlite3.connect(target)
# All pages in one step: an incremental copy would restart at every write of a worker.
reader.backup(copy, pages=-1)
# One file without a separate log; workers turn the log on again.
copy.execute("PRAGMA journal_mode=DELETE").fetchone()
answer = copy.execute("PRAGMA integrity_check").fetchone()[0]
copy.close()
if answer != "ok":
    sys.exit(f"the copy is damaged: {answer}")
PYTHON
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
        pg_dump --no-password --format=custom --lock-wait-timeout=60s \
            --dbname="$address" --file="$partial" || fail "pg_dump failed"
        pg_restore --list "$partial" > /dev/null || fail "the dump cannot be read back"
        ;;
    *) fail "only sqlite:///FILE and postgresql://USER@HOST:PORT/DATABASE can be backed up" ;;
esac

sum="$(sha256sum < "$partial")"
printf '%s  %s\n' "${sum%% *}" "$(basename -- "$target")" > "$partial.sha256"
sync -- "$partial" "$partial.sha256"
# Without its checksum a backup counts as unfinished: remove the old sum first, write the new one last.
rm -f -- "$target.sha256"
if [ -n "$force" ]; then
    mv -f -- "$partial" "$target"
else
    # A hard link fails if another process was faster.
    ln -- "$partial" "$target" || fail "$target has appeared meanwhile"
fi
mv -f -- "$partial.sha256" "$target.sha256"
sync -- "$(dirname -- "$target")"
echo "$target: $(wc -c < "$target") bytes"
