#!/usr/bin/env bash
# Collects wheels (the models are in ours), source and checksums in one folder that installs without internet.
#   make_bundle.sh FOLDER PLATFORM PYTHON VARIANT
# PLATFORM is Linux on a processor (x86_64, aarch64), PYTHON a version (3.12), VARIANT light or full.
# Full is the platform with Dagster, and torch with CUDA's libraries; for servers without a GPU
# TORCH_INDEX=https://download.pytorch.org/whl/cpu leaves those 3 GB out.
set -euo pipefail
folder=$1 machine=$2 python=${3#python} variant=$4
checkout=$(cd "$(dirname "$0")/../.." && pwd)
case $variant in light | full) ;; *)
  echo "VARIANT is light or full, got $variant." >&2
  exit 2
  ;;
esac
rm -rf "$folder"
mkdir -p "$folder/wheels" "$folder/source"
here=${BUILD_PYTHON:-python3}
"$here" -m pip wheel --quiet --no-deps --wheel-dir "$folder/wheels" "$checkout"
options=(--quiet --disable-pip-version-check --only-binary=:all: --dest "$folder/wheels"
  --constraint "$checkout/constraints.txt" --implementation cp --python-version "$python"
  --abi "cp${python/./}" --abi abi3 --abi none)
# pip takes each platform by its exact name; wheels for any C library up to this one work there.
for glibc in $(seq 34 -1 5); do
  options+=(--platform "manylinux_2_${glibc}_$machine")
done
options+=(--platform "manylinux2014_$machine" --platform "manylinux1_$machine")
if [ "$variant" = light ]; then
  touch "$folder/LIGHT"
  "$here" -m pip download "${options[@]}" --no-deps --requirement "$checkout/deploy/bundle/light.txt"
else
  [ -z "${TORCH_INDEX:-}" ] || options+=(--extra-index-url "$TORCH_INDEX")
  for wheel in "$folder"/wheels/hoverfast_platform-*.whl; do
    "$here" -m pip download "${options[@]}" "$wheel[platform,training,quantise,viewer,gpu,dicom,anndata,s3]"
  done
fi
# The models that ship are in the wheel. The source of the light bundle is without them, and without
# the checkpoints of trainings that go on: together they are 60 MiB.
left_out=()
[ "$variant" = light ] &&
  left_out=(':(exclude)deploy/training/checkpoints' ':(exclude)hoverfast_platform/model/builtin')
git -C "$checkout" archive --format=tar.gz --output "$folder/source/hoverfast_platform.tar.gz" HEAD \
  -- . "${left_out[@]}"
cp "$checkout/deploy/bundle/install.sh" "$folder/"
(cd "$folder" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum > SHA256SUMS)
du -sm "$folder" | awk '{print $1 " MiB"}'
