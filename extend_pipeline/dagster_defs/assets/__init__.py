"""Assets, their metadata, and their materializations."""
