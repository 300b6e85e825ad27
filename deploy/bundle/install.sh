#!/usr/bin/env bash
# Installs the bundle this file lies in, without internet.
#   ./install.sh                 into the environment of `python3` (PYTHON=... names another one)
#   ./install.sh FOLDER          into a folder, for PYTHONPATH, where the environment is not yours
set -euo pipefail
cd "$(dirname "$0")"
sha256sum --check --quiet SHA256SUMS || {
  echo "The bundle is damaged: some file is not what SHA256SUMS says. Copy it again." >&2
  exit 1
}
options=(--quiet --no-index --no-cache-dir --disable-pip-version-check)
# The light bundle leaves what is large to the machine, so pip must not ask for it.
[ -f LIGHT ] && options+=(--no-deps)
[ $# -gt 0 ] && options+=(--no-deps --upgrade --target "$1")
exec "${PYTHON:-python3}" -m pip install "${options[@]}" wheels/*.whl
