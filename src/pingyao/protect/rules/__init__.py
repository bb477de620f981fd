"""Algorithms of protection: policy, techniques on Arrow columns, FF1, anonymity, watermarks."""
