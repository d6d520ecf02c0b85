#!/bin/sh
# Entry point of the image: read the database's password from a secret's file, then run ecd-tune.
set -eu
if [ -n "${PGPASSWORD_FILE:-}" ]; then
    if [ ! -r "$PGPASSWORD_FILE" ]; then
        echo "entrypoint: cannot read the password file $PGPASSWORD_FILE" >&2
        exit 1
    fi
    PGPASSWORD="$(cat "$PGPASSWORD_FILE")"
    export PGPASSWORD
fi
exec ecd-tune "$@"
