"""Speed and quality of ranking against other libraries: `make bench NAME=ranking`."""
