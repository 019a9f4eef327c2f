#!/usr/bin/env bash
# Distributed training: tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# NNODES, NODE_RANK, MASTER_ADDR and PORT have the usual meaning; PYTHON names the interpreter (default: python).
set -euo pipefail
CONFIG=${1:?usage: tools/dist_train.sh CONFIG PROCESSES [options]}
PROCESSES=${2:?usage: tools/dist_train.sh CONFIG PROCESSES [options]}
exec "${PYTHON:-python}" -m torch.distributed.run --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" --nproc_per_node="$PROCESSES" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "${@:3}"
