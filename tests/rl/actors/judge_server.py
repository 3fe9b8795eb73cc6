"""In place of vLLM's server: ``python -m tests.rl.actors.judge_server … --port N`` gives every completion points."""

import argparse
import subprocess
import sys
import time

from tests.rl.server import Server

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--port", type=int)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)  # as vLLM's engine
with Server(lambda body: '{"reason": "so", "points": 2}', port=parser.parse_known_args()[0].port):
    time.sleep(600)
