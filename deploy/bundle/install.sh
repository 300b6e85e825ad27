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
"${PYTHON:-python3}" -m pip install "${options[@]}" wheels/*.whl
# Machine code of the loops over pixels, once a machine; else the first slide waits for it.
PYTHONPATH="${1:+$1:}${PYTHONPATH:-}" "${PYTHON:-python3}" -c \
  "from hoverfast_platform.use_cases.warm_up import warm_up; warm_up()" ||
  echo "Nothing was compiled ahead: is something missing that this machine was to have?" >&2
