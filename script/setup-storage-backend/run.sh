#!/usr/bin/env bash
flags=(--brief)
[[ ${MLPERF_STORAGE_CHECK-} =~ ^(yes|[Tt]rue)$ ]] && flags=()
bash "$MLPERF_STORAGE_LAUNCHER" check \
  "--data_dir=$MLPERF_STORAGE_DATA_URI" \
  ${MLPERF_STORAGE_ENDPOINT_URL:+"--endpoint_url=$MLPERF_STORAGE_ENDPOINT_URL"} \
  ${MLPERF_STORAGE_SERVER_DIR:+"--server_dir=$MLPERF_STORAGE_SERVER_DIR"} \
  ${MLPERF_STORAGE_CLIENT:+"--client=$MLPERF_STORAGE_CLIENT"} \
  "${flags[@]}" \
  --hold
