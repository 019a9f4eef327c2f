#!/usr/bin/env bash
# Distributed test: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of tools/test.py]
# NNODES, NODE_RANK, MASTER_ADDR and PORT have the usual meaning; PYTHON names the interpreter (default: python).
set -euo pipefail
CONFIG=${1:?usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options]}
CHECKPOINT=${2:?usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options]}
PROCESSES=${3:?usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options]}
exec "${PYTHON:-python}" -m torch.distributed.run --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29501}" --nproc_per_node="$PROCESSES" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
