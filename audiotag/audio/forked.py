"""A helper as a copy of this process, in a few milliseconds.

A new process has to import NumPy, which takes as long as a whole start of `audiotag tag`; a copy
has it already. But a process may be copied only while it has a single thread: the copy would wait
forever for a lock that another thread held. So commands fork early, and the library never does.
"""

import os
import signal
import sys
import threading
import warnings
from typing import IO

from audiotag.audio.helper_process import serve

WITH_THREADS = {"onnxruntime", "torch"}  # modules that start threads when they are imported


class Fork:
    """A process that was forked, with the interface of `subprocess.Popen`.

    Attributes:
        pid: Its number.
        stdin: The pipe to its standard input.
        stdout: The pipe from its standard output.
        returncode: As of `subprocess.Popen`.
    """

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code; None if it is still running."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def kill(self) -> None:
        """End it."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def can_fork() -> bool:
    """Whether this process can be copied: on Linux, while no other thread can hold a lock."""
    is_alone = threading.active_count() == 1 and WITH_THREADS.isdisjoint(sys.modules)
    return sys.platform == "linux" and is_alone


def fork(modules: list[str]) -> Fork:
    """A helper that is a copy of this process.

    Args:
        modules: As of `serve`.

    Raises:
        OSError: There can be no more processes, or open files.
    """
    read_end, stdin = os.pipe()
    stdout, write_end = os.pipe()
    with warnings.catch_warnings():  # about threads: NumPy's library handles a fork itself
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        _become_helper(read_end, write_end, modules)
    os.close(read_end)
    os.close(write_end)
    return Fork(pid, open(stdin, "wb", buffering=0), open(stdout, "rb", buffering=0))


def _become_helper(read_end: int, write_end: int, modules: list[str]) -> None:
    """Serve with only two pipes open, and never return."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for place, file in enumerate((read_end, write_end, nowhere)):
            os.dup2(file, place)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        serve(open(0, "rb"), modules)
    finally:
        os._exit(1)
