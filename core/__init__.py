"""The functional core: everything that decides, nothing that awaits."""

__version__ = "0.1.0"
