"""Algorithms of classification: pure functions over names, Arrow batches and labels."""
