"""A Python callback for the demonstration: the script above knows nothing of it, `PYSMTPD_CALLBACKS` puts it in."""


def validate_sender(address: str) -> None:
    """Print each sender; say yes to all."""
    print(f"  python callback: sender {address}")
