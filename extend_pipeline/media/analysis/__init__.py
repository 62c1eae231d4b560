"""Analyse a result in one pass: whether it is whole, how it continues its parent, what it holds, and its poster."""
