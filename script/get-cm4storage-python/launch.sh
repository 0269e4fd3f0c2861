#!/usr/bin/env bash
# Print a cm4storage command in full, and become it: a person who types it gets the same.
command=("$MLPERF_STORAGE_PYTHON" -m cm4storage "$@")
if [ -n "$MLPERF_STORAGE_PYTHONPATH" ]; then
  command=(env "PYTHONPATH=$MLPERF_STORAGE_PYTHONPATH" "${command[@]}")
fi
printf 'command:' >&2
printf ' %q' "${command[@]}" >&2
printf '\n' >&2
exec "${command[@]}"
