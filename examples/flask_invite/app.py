"""Invitations to an event, sent through a mail server that asks for TLS and a login."""

import smtplib
import ssl
from email.message import EmailMessage

from flask import Flask, Response, current_app, request


def create_app(config: dict[str, object]) -> Flask:
    """Return the application. ``config``: MAIL_HOST, MAIL_PORT, MAIL_USER, MAIL_PASSWORD, MAIL_TLS (an ssl.SSLContext)."""
    app = Flask(__name__)
    app.config.update(config)

    @app.post("/invite")
    def invite() -> Response:
        send(invitation(request.form["address"]))
        return Response("Invited.")

    return app


def invitation(address: str) -> EmailMessage:
    """Return an invitation with the event's calendar entry."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "events@example.org", address, "You're invited – bring cake"
    mail.set_content("See the attached entry, or http://example.org/events/1.\n")
    mail.add_alternative('<p>See <a href="http://example.org/events/1">the event</a>.</p>', subtype="html")
    mail.add_attachment(b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", maintype="text", subtype="calendar", filename="event.ics")
    return mail


def send(mail: EmailMessage) -> None:
    """Send a mail the way the application is configured."""
    config = current_app.config
    context: ssl.SSLContext = config["MAIL_TLS"]
    with smtplib.SMTP(config["MAIL_HOST"], config["MAIL_PORT"]) as client:
        client.starttls(context=context)
        client.login(config["MAIL_USER"], config["MAIL_PASSWORD"])
        client.send_message(mail)
