"""Kling's official API: requests, responses, codes, tokens, bills."""
