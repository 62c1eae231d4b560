"""The only partitions definition: one key a video, never one a task, a hop or an attempt."""

import dagster as dg

VIDEOS = "videos"
videos = dg.DynamicPartitionsDefinition(name=VIDEOS)
