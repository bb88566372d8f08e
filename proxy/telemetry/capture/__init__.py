"""Upstreams' streams kept with their timing and without what they say, for the simulator to play again."""
