"""The parts that `--parts` must name, because they take longer: each module but `hop_times` and `memory`, which they
share, has `measure(context) -> Section`."""
