"""The words every room speaks: labels, citations, evidence events, errors. Pure."""
