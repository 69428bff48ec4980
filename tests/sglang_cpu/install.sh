#!/usr/bin/env bash
# install.sh VENV: real SGLang 0.5.23 for the CPU in a venv of its own (about 7 GB, 3 to 5 minutes).
# The tests find it where SGLANG_CPU_VENV points; without it those that need it are skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:?usage: install.sh VENV}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q -r "$here/requirements.txt"
# Without its dependencies: they are for CUDA. requirements.txt has those that a classifier on a CPU imports.
"$venv/bin/pip" install -q --no-deps sglang==0.5.23
cp -r "$here/shim/vllm" "$("$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')/"
"$venv/bin/python" -c 'import importlib.metadata as m; print("sglang", m.version("sglang"))'
