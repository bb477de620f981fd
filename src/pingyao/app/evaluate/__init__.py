"""Measures the classifier against labelled columns, authored secrets and labelled texts."""
