"""An example bank, made up by the software itself: no person, firm or number in it is real."""
