#!/usr/bin/env bash
flags=()
[[ ${MLPERF_STORAGE_COLD-} == yes ]] && flags+=(--cold)
[[ ${MLPERF_STORAGE_RECORD_ORDER-} =~ ^(yes|[Tt]rue)$ ]] && flags+=(--record_order)
if [[ ${MLPERF_STORAGE_CHECKPOINT-} == yes ]]; then
  flags+=(--checkpoint)
  [[ $MLPERF_STORAGE_CHECKPOINT_ASYNC == yes ]] && flags+=(--checkpoint_async)
  [[ $MLPERF_STORAGE_CHECKPOINT_FSYNC == yes ]] && flags+=(--checkpoint_fsync)
  for option in steps epochs compression level keep_last dir on_error; do
    value=MLPERF_STORAGE_CHECKPOINT_${option^^}
    [[ -n ${!value-} ]] && flags+=("--checkpoint_$option=${!value}")
  done
fi
bash "$MLPERF_STORAGE_LAUNCHER" run \
  "--workload=$MLPERF_STORAGE_WORKLOAD_FILE" \
  "--data_dir=$MLPERF_STORAGE_DATA_URI" \
  ${MLPERF_STORAGE_ENDPOINT_URL:+"--endpoint_url=$MLPERF_STORAGE_ENDPOINT_URL"} \
  ${MLPERF_STORAGE_SERVER_DIR:+"--server_dir=$MLPERF_STORAGE_SERVER_DIR"} \
  ${MLPERF_STORAGE_CLIENT:+"--client=$MLPERF_STORAGE_CLIENT"} \
  "--results_dir=$MLPERF_STORAGE_RESULTS_DIR" \
  ${MLPERF_STORAGE_MAX_EPOCHS:+"--max_epochs=$MLPERF_STORAGE_MAX_EPOCHS"} \
  ${MLPERF_STORAGE_MAX_STEPS:+"--max_steps=$MLPERF_STORAGE_MAX_STEPS"} \
  ${MLPERF_STORAGE_ON_ERROR:+"--on_error=$MLPERF_STORAGE_ON_ERROR"} \
  ${MLPERF_STORAGE_READERS:+"--readers=$MLPERF_STORAGE_READERS"} \
  ${MLPERF_STORAGE_OPLOG:+"--oplog=$MLPERF_STORAGE_OPLOG"} \
  "${flags[@]}" \
  --result_file=run.json
