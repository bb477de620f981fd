"""Readers of what can be scanned: databases, files and DDL dumps."""
