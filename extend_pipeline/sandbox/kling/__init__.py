"""The official Kling video-extension API, written from docs/upstream/kling.md."""
