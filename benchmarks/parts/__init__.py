"""The parts of the benchmark: each module has `measure(context) -> Section`."""
