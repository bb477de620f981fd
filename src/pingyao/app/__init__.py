"""Composition only: wiring and the command line."""
