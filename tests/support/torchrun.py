"""Commands and scripts run under torchrun."""

import os
import subprocess
import sys


def launch(processes, recipe, data, out, *options):
    """Train under torchrun."""
    command = ("-m", "audiotag", "train", recipe, "--data", data, "--out", out, "--device", "cpu")
    return launch_script(processes, *command, *options)


def launch_script(processes, *words, cwd=None):
    """Run a script, or `-m` a module, under torchrun."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))
    return subprocess.run(
        [sys.executable, *launcher, *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        cwd=cwd,
    )
