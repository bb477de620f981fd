"""Readers and writers of reports."""
