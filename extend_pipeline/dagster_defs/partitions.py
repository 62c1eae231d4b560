"""The name of the only set of partitions: one key a video, never one a task, a hop or an attempt."""

from typing import Final

VIDEOS: Final = "videos"
