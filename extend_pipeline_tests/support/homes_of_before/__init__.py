"""Homes that earlier versions wrote: the rows of their ledgers and their catalogues, made by those versions."""
