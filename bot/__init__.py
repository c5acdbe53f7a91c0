"""The machine: receives, takes turns, sends. It knows no conversation by name, except in `main`."""
