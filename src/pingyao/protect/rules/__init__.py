"""Techniques of protection: arithmetic over Arrow columns, no I/O."""
