"""A client's end of TLS, in memory: between a core session's driver and a test."""

import ssl

from pysmtpd.certificates import CA


def client_context():
    """Return a context that trusts the test authority."""
    return ssl.create_default_context(cafile=CA)


class TlsClient:
    """A client that speaks TLS to an engine.Driver.

    Arguments:
        driver: the driver.
        piece: how many octets the driver is given at once; 0 for all there are.
        context: the client's.
        meddle: a function through which all that the client sends passes.
    """

    def __init__(self, driver, piece=0, context=None, meddle=lambda records: records):
        self._driver = driver
        self._meddle = meddle
        self._piece = piece
        self._seen = len(driver.output)
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = (context or client_context()).wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def handshake(self):
        """Shake hands; what the server says right after it is for :meth:`read`."""
        while True:
            try:
                self.tls.do_handshake()
                self._carry()
                return self
            except ssl.SSLWantReadError:
                assert self._carry(), "the server says nothing more"

    def send(self, text):
        """Send bytes under TLS; return what is said in reply."""
        self.tls.write(text)
        self._carry()
        return self.read()

    def read(self):
        """Return what the server has said under TLS."""
        found = b""
        try:
            while chunk := self.tls.read(65536):
                found += chunk
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return found

    def close_notify(self):
        """Say that nothing more will come."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            self._carry()

    def ended(self):
        """Tell whether the server has said that nothing more will come."""
        try:
            return self.tls.read(1) == b""
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLWantReadError:
            return False

    def records(self):
        """Return the records that wait to be sent."""
        return self.outgoing.read()

    def _carry(self):
        """Hand records over, in pieces, and back; tell whether any came back."""
        records = self._meddle(self.outgoing.read())
        step = self._piece or len(records) or 1
        for start in range(0, len(records), step):
            self._driver.feed(records[start : start + step])
        return self.take_back()

    def take_back(self):
        """Take what the server has written since; tell whether it has."""
        new = self._driver.output[self._seen :]
        self._seen = len(self._driver.output)
        self.incoming.write(new)
        return bool(new)
