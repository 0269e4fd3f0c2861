#!/usr/bin/env bash
flags=()
[[ ${MLPERF_STORAGE_FSYNC-} =~ ^(yes|[Tt]rue)$ ]] && flags+=(--fsync)
bash "$MLPERF_STORAGE_LAUNCHER" generate \
  "--workload=$MLPERF_STORAGE_WORKLOAD_FILE" \
  "--data_dir=$MLPERF_STORAGE_DATA_URI" \
  ${MLPERF_STORAGE_ENDPOINT_URL:+"--endpoint_url=$MLPERF_STORAGE_ENDPOINT_URL"} \
  ${MLPERF_STORAGE_SERVER_DIR:+"--server_dir=$MLPERF_STORAGE_SERVER_DIR"} \
  ${MLPERF_STORAGE_CLIENT:+"--client=$MLPERF_STORAGE_CLIENT"} \
  "${flags[@]}" \
  ${MLPERF_STORAGE_GENERATE_OPLOG:+"--oplog=$MLPERF_STORAGE_GENERATE_OPLOG"} \
  --result_file=data-set.json
