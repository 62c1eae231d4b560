"""Luma through a reseller: requests and responses."""
