#!/bin/sh
# Runs a command with secrets from files: where NAME_FILE names a file (a Docker or Kubernetes
# secret), NAME becomes what it holds, without its last newline. Nothing is printed.
set -eu

from_file() {
    eval "path=\${$1_FILE:-}"
    if [ -n "$path" ]; then
        if [ ! -r "$path" ]; then
            echo "$1_FILE names $path, which cannot be read by uid $(id -u)." >&2
            exit 1
        fi
        value=$(cat "$path")
        export "$1=$value"
    fi
}

from_file DAGSTER_PG_PASSWORD
from_file PGPASSWORD
from_file HOVERFAST_CATALOGUE
from_file HOVERFAST_VIEWER_TOKEN
exec "$@"
