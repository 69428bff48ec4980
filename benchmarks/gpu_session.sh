#!/usr/bin/env bash
# gpu_session.sh MODEL OUT [defaults|tuned|both] [SGLang flags for either start...]
# Starts SGLang with its default flags, runs throughput.py against it, stops it; the same again with the flags of
# `qwen3-sglang serve`. Tables, JSON and SGLang's logs go to the folder OUT. MODEL is a converted checkpoint.
# Run it from the repository's root. PYTHON names an interpreter with SGLang (python3), CLIENT one with this project
# and its frameworks (PYTHON's), PORT a free port (30000), ROWS throughput.py's arguments.
set -euo pipefail
model=${1:?usage: gpu_session.sh MODEL OUT [defaults|tuned|both] [SGLang flags...]}
out=${2:?usage: gpu_session.sh MODEL OUT [defaults|tuned|both] [SGLang flags...]}
which=${3:-both}
shift $(($# < 3 ? $# : 3))
python=${PYTHON:-python3} client=${CLIENT:-${PYTHON:-python3}} port=${PORT:-30000}
ways=loop,threads,list,lists-25,score,sync,async,async-score,langchain-async,llama-index-async
read -ra rows <<<"${ROWS:---ways $ways --seconds 0.5 --stop-after 220}"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p "$out"
server=
trap 'stop' EXIT

stop() {
  [ -z "$server" ] || kill -- "-$server" 2>/dev/null || true
  while [ -n "$server" ] && kill -0 -- "-$server" 2>/dev/null; do sleep 1; done
  server=
}

# run LABEL COMMAND...: start the server, measure, stop it.
run() {
  local label=$1
  shift
  echo "== $label: $*"
  setsid "$@" >"$out/sglang-$label.log" 2>&1 &
  server=$!
  for _ in $(seq 1 400); do
    if curl -sf -m 5 -o /dev/null "http://127.0.0.1:$port/health"; then break; fi
    kill -0 "$server" 2>/dev/null || { tail -20 "$out/sglang-$label.log" >&2; exit 1; }
    sleep 1
  done
  # Not counted: kernels are compiled and graphs filled. Then what SGLang after 0.5.16 does by itself (docs/serving.md).
  "$client" benchmarks/throughput.py "http://127.0.0.1:$port" "${rows[@]}" --ways list --seconds 0.3 >"$out/warm.txt"
  curl -s -X POST "http://127.0.0.1:$port/freeze_gc"
  "$client" benchmarks/throughput.py "http://127.0.0.1:$port" --label "$label: $*" --json "$out/$label.json" \
    "${rows[@]}" | tee "$out/$label.txt"
  stop
}

if [ "$which" != tuned ]; then
  run defaults "$python" -m sglang.launch_server --model-path "$model" --host 127.0.0.1 --port "$port" "$@"
fi
if [ "$which" != defaults ]; then
  # What `qwen3-sglang serve MODEL --print` prints; asked this way, it needs no typer.
  command=$("$client" - "$python" "$model" "$port" "$@" <<'PLAN'
import sys
from qwen3_sglang.serving.sglang_command import known_flags, plan

python, model, port, *extra = sys.argv[1:]
known = known_flags(python)
print(plan(python, model, host="127.0.0.1", port=int(port), extra=extra, known=known).shown)
PLAN
  )
  eval "run tuned $command"
fi
