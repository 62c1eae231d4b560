"""Run a command, and write what it cost to a file: `python -I -S launch.py FILE COMMAND…`.

A process of its own, and a small one: the peak memory that the kernel counts for a process begins with that of the one
which started it.
"""

import json
import os
import sys
import time


def main() -> None:
    """Run the command to its end; exit as it did."""
    file, *command = sys.argv[1:]
    began = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - began
    with open(file, "w") as out:  # noqa: PTH123 - pathlib would be most of what this process loads
        json.dump({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / 1024}, out)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
