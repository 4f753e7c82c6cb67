"""A mail server on a port of this machine, which keeps what it is given."""

from __future__ import annotations

import contextlib
import email
import email.policy
import socketserver
import threading


class _Conversation(socketserver.StreamRequestHandler):
    """SMTP as far as a client needs it that sends without TLS and without a password."""

    def handle(self):
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.mails.append(email.message_from_bytes(text, policy=email.policy.default))
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 yes\r\n")
            if verb == b"QUIT":
                return


@contextlib.contextmanager
def mail_server():
    """Serve, and give the port and the list of mails that came."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Conversation) as server:
        server.mails = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], server.mails
        finally:
            server.shutdown()
            thread.join()
