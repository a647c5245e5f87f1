import os
import signal
import subprocess
import sys

import psutil

from mlops_assets.deploy.process.system import alive


def test_a_child_that_dies_while_it_is_looked_at_leaves_no_entry_in_the_process_table(monkeypatch):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        status = psutil.Process.status

        def dies_now(process):
            child.send_signal(signal.SIGKILL)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            return status(process)

        monkeypatch.setattr(psutil.Process, "status", dies_now)
        assert not alive(child.pid)
        assert not psutil.pid_exists(child.pid)
