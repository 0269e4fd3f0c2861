#!/usr/bin/env bash
flags=()
[[ ${MLPERF_STORAGE_COMPARE_STRICT-} =~ ^(yes|[Tt]rue)$ ]] && flags+=(--strict)
[[ ${MLPERF_STORAGE_COMPARE_MARKDOWN-} =~ ^(yes|[Tt]rue)$ ]] && flags+=(--markdown)
bash "$MLPERF_STORAGE_LAUNCHER" compare \
  ${MLPERF_STORAGE_TOLERANCE:+"--tolerance=$MLPERF_STORAGE_TOLERANCE"} \
  ${MLPERF_STORAGE_COMPARE_MODE:+"--mode=$MLPERF_STORAGE_COMPARE_MODE"} \
  ${MLPERF_STORAGE_COMPARE_ACROSS:+"--across=$MLPERF_STORAGE_COMPARE_ACROSS"} \
  "${flags[@]}" \
  "$MLPERF_STORAGE_BASELINE" \
  "$MLPERF_STORAGE_CANDIDATE"
