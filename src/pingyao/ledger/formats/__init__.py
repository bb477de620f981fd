"""What goes in and out of the log, as the C2SP texts and the entry format say."""
