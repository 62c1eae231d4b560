"""HTTP with a deadline per call, checked addresses, and a record of whether any byte of a request was sent."""

import sys

# httpx loads its own command line, and with it Rich's progress bars and Pygments, wherever they are installed: 30 ms
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type] # None makes its import fail, which it expects
