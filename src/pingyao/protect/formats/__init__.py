"""Formats of protected data."""
