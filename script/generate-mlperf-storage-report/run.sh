#!/usr/bin/env bash
flags=()
[[ ${MLPERF_STORAGE_STRICT_AU-} =~ ^(yes|[Tt]rue)$ ]] && flags+=(--strict_au)
bash "$MLPERF_STORAGE_LAUNCHER" report \
  "$MLPERF_STORAGE_RUN_DIR" \
  "${flags[@]}" \
  ${MLPERF_STORAGE_RERUN_COMMAND:+"--rerun_command=$MLPERF_STORAGE_RERUN_COMMAND"}
