"""Speed and laws of the simulators against others' own: `make bench NAME=simulators`."""
