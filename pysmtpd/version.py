"""The version, where everything that shows it can import it without importing more."""

__version__ = "0.1.0"
