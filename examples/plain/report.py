"""Sends a report by mail, and tries again where the server says "later"."""

import smtplib
from email.message import EmailMessage


def send_report(host: str, port: int, to: str, text: str, attempts: int = 3) -> None:
    """Send a report. Raises what smtplib raises when the last attempt fails, too."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "reports@example.org", to, "Your report"
    mail.set_content(text)
    for attempt in range(1, attempts + 1):
        try:
            with smtplib.SMTP(host, port) as client:
                client.send_message(mail)
            return
        except (smtplib.SMTPServerDisconnected, smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as error:
            if attempt == attempts or is_final(error):
                raise


def is_final(error: smtplib.SMTPException) -> bool:
    """Tell whether trying again makes no sense: a reply 5xx."""
    codes = [code for code, _ in error.recipients.values()] if isinstance(error, smtplib.SMTPRecipientsRefused) else []
    return any(code >= 500 for code in [*codes, getattr(error, "smtp_code", 0)])
