"""Django, set up once, sending to the server that this run of the tests has."""

import os

import django
import pytest


@pytest.fixture(scope="session")
def mail_server(pysmtpd_session):
    """The server, and Django's settings pointing to it."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    os.environ["EMAIL_HOST"] = pysmtpd_session.host
    os.environ["EMAIL_PORT"] = str(pysmtpd_session.port)
    django.setup()
    return pysmtpd_session


@pytest.fixture
def browser(mail_server):
    """A browser of Django's."""
    from django.test import Client

    return Client()
