"""From the form to the link in the mail, and through it."""


def test_signing_up(browser, mail_server):
    assert browser.post("/sign-up", {"address": "anna@example.org"}).status_code == 200
    [message] = mail_server.wait_for(to="anna@example.org", subject="Welcome!")
    assert message.sender == "welcome@example.org"
    [link] = message.links  # the same one in text and HTML
    assert browser.get(link).content == b"anna@example.org is confirmed."


def test_a_link_that_was_tampered_with(browser, mail_server):
    browser.post("/sign-up", {"address": "berta@example.org"})
    [message] = mail_server.wait_for()
    assert message.recipients == ("berta@example.org",)  # nothing is left here from the test before
    assert browser.get(message.links[0] + "x").status_code == 400
