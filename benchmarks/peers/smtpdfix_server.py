"""smtpdfix under measurement: the controller behind its pytest fixture, with a list of messages that does not grow."""

from email.message import Message

import portpicker
from reporting import report, serve_until_stdin_ends
from smtpdfix.controller import AuthController


class Messages(list[Message]):
    """Counts, and keeps the last one. Never empty: smtpdfix would take a list of its own instead."""

    def __init__(self) -> None:
        super().__init__([Message()])
        self.delivered = 0

    def append(self, message: Message) -> None:
        self.delivered += 1
        self[0] = message

    def report(self) -> str:
        message = self[0]
        return report(self.delivered, len((message["X-RcptTo"] or "").split(",")), message.as_bytes())


def main() -> None:
    messages = Messages()
    controller = AuthController(hostname="127.0.0.1", port=portpicker.pick_unused_port(), messages=messages)
    controller.start()
    serve_until_stdin_ends(controller.port, "smtpdfix", messages.report)
    controller.stop()


if __name__ == "__main__":
    main()
