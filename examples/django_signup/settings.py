"""The settings of a Django project that does nothing but sign people up."""

import os

SECRET_KEY = "not a secret"
ROOT_URLCONF = "signup"
ALLOWED_HOSTS = ["testserver"]
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = os.environ.get("EMAIL_HOST", "localhost")
EMAIL_PORT = int(os.environ.get("EMAIL_PORT", "25"))
DEFAULT_FROM_EMAIL = "welcome@example.org"
