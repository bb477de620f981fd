"""What the software is measured with; `make bench` runs it all."""
