"""Where protected data is written: each target complete or untouched."""
