"""Adapters every room shares: database, files, reports, terminal, settings, languages."""
