"""The sandbox's rows on disk: videos, tasks, charges, requests."""
