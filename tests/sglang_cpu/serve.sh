#!/usr/bin/env bash
# serve.sh VENV MODEL PORT LOG [flags...]: start real SGLang on the CPU, wait until it answers, print its pid.
# It runs in a process group of its own; stop it with: kill -- -PID
set -u
venv=${1:?usage: serve.sh VENV MODEL PORT LOG [flags...]} model=$2 port=$3 log=$4
shift 4
setsid "$venv/bin/python" -m sglang.launch_server --model-path "$model" --host 127.0.0.1 --port "$port" \
  --device cpu --attention-backend torch_native --mem-fraction-static 0.1 "$@" >"$log" 2>&1 &
pid=$!
for _ in $(seq 1 120); do
  sleep 1
  if [ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/health")" = 200 ]; then
    echo "$pid"
    exit 0
  fi
  kill -0 "$pid" 2>/dev/null || break
done
tail -20 "$log" >&2
kill -- -"$pid" 2>/dev/null
exit 1
