"""Cryptography every room shares: providers behind one port, key derivation, keystores, HSMs.

A software provider is no certified cryptographic module; `keys providers` says so.
"""
