"""Sign-up: an address is confirmed by following a link that only its owner gets."""

from django.core import signing
from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse


def sign_up(request: HttpRequest) -> HttpResponse:
    """Send the link to the address."""
    address = request.POST["address"]
    link = request.build_absolute_uri(reverse("confirm", args=[signing.dumps(address)]))
    mail = EmailMultiAlternatives("Welcome! One more step", f"Please follow {link}.\n", to=[address])
    mail.attach_alternative(f'<p>Please follow <a href="{link}">this link</a>.</p>', "text/html")
    mail.send()
    return HttpResponse("A mail is on its way.")


def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Take the link for the proof that it is."""
    try:
        address = signing.loads(token)
    except signing.BadSignature:
        return HttpResponse("This link is not one of ours.", status=400)
    return HttpResponse(f"{address} is confirmed.")


urlpatterns = [path("sign-up", sign_up), path("confirm/<str:token>", confirm, name="confirm")]
