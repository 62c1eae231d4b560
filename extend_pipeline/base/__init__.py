"""The lowest floor: exact units, UTC milliseconds, named failpoints, scrubbing. Knows nothing of video or money
rules."""
