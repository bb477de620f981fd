"""Arithmetic of the log: trees, proofs and tiles."""
