"""People of a node: accounts, passwords, second factors, sessions."""
