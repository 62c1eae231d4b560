"""Definitions of your own beside the pipeline, in a checkout: `dg scaffold defs` writes them here."""
