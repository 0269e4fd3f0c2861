#!/usr/bin/env bash
flags=()
[[ ${MLPERF_STORAGE_PLAN-} =~ ^(yes|[Tt]rue)$ ]] && flags+=(--plan)
bash "$MLPERF_STORAGE_LAUNCHER" checkpoint \
  "--workload=$MLPERF_STORAGE_WORKLOAD_FILE" \
  ${MLPERF_STORAGE_CHECKPOINT_URI:+"--checkpoint_dir=$MLPERF_STORAGE_CHECKPOINT_URI"} \
  ${MLPERF_STORAGE_ENDPOINT_URL:+"--endpoint_url=$MLPERF_STORAGE_ENDPOINT_URL"} \
  ${MLPERF_STORAGE_SERVER_DIR:+"--server_dir=$MLPERF_STORAGE_SERVER_DIR"} \
  ${MLPERF_STORAGE_CLIENT:+"--client=$MLPERF_STORAGE_CLIENT"} \
  ${MLPERF_STORAGE_RANKS:+"--ranks=$MLPERF_STORAGE_RANKS"} \
  "--results_dir=$MLPERF_STORAGE_RESULTS_DIR" \
  "--rerun_command=$MLPERF_STORAGE_RERUN_COMMAND" \
  "${flags[@]}" \
  --result_file=checkpoint-run.json
