"""The work of the pipeline, without Dagster and without the command line: plan, submit, poll, collect, recover, and
advance, which runs them in this order."""
