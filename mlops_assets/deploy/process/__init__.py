"""The deploy target `process`: a server process on this machine."""
