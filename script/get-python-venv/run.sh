#!/usr/bin/env bash
# A virtual environment with the required packages, and a link to the library where it is needed.
set -e
export PIP_DISABLE_PIP_VERSION_CHECK=1
"$MLPERF_STORAGE_VENV_BASE" -m venv venv
read -r -a requirements <<< "$MLPERF_STORAGE_VENV_REQUIREMENTS"
echo "installing: ${requirements[*]}"
env -u PIP_USER -u PIP_TARGET -u PIP_PREFIX venv/bin/python -m pip install --quiet "${requirements[@]}"
if [ -n "$MLPERF_STORAGE_VENV_LIBRARY" ]; then
  packages=$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  ln -s "$MLPERF_STORAGE_VENV_LIBRARY" "$packages/cm4storage"
fi
