"""The work itself, free of Dagster and of the command line: plan, submit, poll, collect, recover, and advance, which
calls them in turn."""
