"""Homes of any size without having to work for them: one video's history is made by the engine's own functions, and
copied under other names as often as wanted. `python -m benchmarks.generate --help`."""
