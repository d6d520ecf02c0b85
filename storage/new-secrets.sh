#!/usr/bin/env bash
# Make a folder of random database passwords for docker-compose.yml, and the dashboard's file of
# users, which lets nobody in until one is added.
#
#   storage/new-secrets.sh secrets
#
# A file that is there is kept, so that it can be run again after deleting one to rotate it.
# The folder is closed to others; the files in it are readable, because containers read them
# under users of their own.
set -euo pipefail

folder="${1:?usage: storage/new-secrets.sh FOLDER}"
mkdir -p "$folder"
chmod 700 "$folder"
for name in postgres owner worker reader; do
    file="$folder/${name}_password"
    if [ -e "$file" ]; then
        echo "kept $file"
        continue
    fi
    # Hexadecimal, so that it needs no quoting anywhere; without a newline at its end.
    password="$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
    (umask 077 && printf '%s' "$password" > "$file.new")
    chmod 444 "$file.new"
    mv "$file.new" "$file"
    echo "made $file"
done
users="$folder/dashboard_users"
if [ ! -e "$users" ]; then
    echo "# NAME HASH per line (storage/README.md, Users of the dashboard)" > "$users"
    chmod 644 "$users"
    echo "made $users; next: add a user"
fi
