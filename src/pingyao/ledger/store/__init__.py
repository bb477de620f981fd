"""The log on disk: a durable file of entries, and everything that is derived from it."""
