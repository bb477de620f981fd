"""From a graded catalogue and a purpose to protected data, with proof that it is."""
