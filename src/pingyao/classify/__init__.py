"""Sources → what is it → how sensitive → catalogue."""
