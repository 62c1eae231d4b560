"""Dagster's view of the pipeline. Thin, over engine and warehouse: nothing here decides whether money is spent."""
