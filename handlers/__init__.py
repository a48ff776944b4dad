"""The thin shell: ASGI app, Lambda entry, local server, command line, and their wiring."""
