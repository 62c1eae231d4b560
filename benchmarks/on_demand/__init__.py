"""The parts that `--parts` must name, because they take longer: each of these modules has `measure(context) -> Section`,
except `hop_times` and `memory`, which they share."""
