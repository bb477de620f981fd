"""Institutions that deal with each other: who they are, their keys, and requests signed between nodes."""
