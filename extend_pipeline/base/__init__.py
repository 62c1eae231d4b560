"""The lowest layer: exact units, UTC milliseconds, failpoints, names, addresses, scrubbing. It imports nothing of the
other layers."""
