"""PilotNet LIF on the simulator against the counters, times and power of the same net on Loihi 2 silicon."""
