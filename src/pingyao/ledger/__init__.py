"""Evidence log: what happened is written once, signed, witnessed, and provable to strangers offline."""
