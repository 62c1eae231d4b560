"""Open files from outside in worker processes that are bounded by the kernel."""
