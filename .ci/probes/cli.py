"""The installed command finds the server usable."""

import subprocess
import sys
from pathlib import Path

COMMAND = Path(sys.executable).with_name("qwen3-sglang")
sys.exit(subprocess.run([COMMAND, "check", sys.argv[1]], check=False).returncode)
