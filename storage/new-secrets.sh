#!/usr/bin/env bash
# Create a folder of random database passwords for docker-compose.yml, and the dashboard's file of
# users, which allows no login until a user is added.
#
#   storage/new-secrets.sh secrets
#
# Existing files are kept, so run it again after deleting one to rotate it.
# Only the owner can open the folder; its files are readable, because containers read them
# as other users.
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
