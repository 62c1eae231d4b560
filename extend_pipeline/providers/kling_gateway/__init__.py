"""Kling through a reseller's gateway: requests and responses."""
