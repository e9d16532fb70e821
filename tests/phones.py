"""Two phones for tests/rest.sh, so that there is something to be shown: bob is registered and has published, alice watches
and calls him, again whenever a call is over. `phones.py HOST PORT`; runs until it is ended."""

import re
import select
import socket
import sys
import time

SERVER = (sys.argv[1], int(sys.argv[2]))
DOMAIN = "example.com"
PIDF = (
    '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@example.com"><tuple id="t"><status>'
    "<basic>open</basic></status><note>At the lighthouse</note></tuple></presence>"
)


class Phone:
    def __init__(self, user):
        self.user = user
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.at = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.cseq = 0

    def sdp(self):
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9000 RTP/AVP 0\r\n"
        )

    def send(self, lines, body="", kind=""):
        if body:
            lines.append("Content-Type: " + kind)
        lines.append("Content-Length: %d" % len(body))
        self.socket.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), SERVER)

    def request(self, method, uri, to, call, more=(), body="", kind=""):
        self.cseq += 1
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.at};branch=z9hG4bK{self.user}{self.cseq};rport",
            "Max-Forwards: 70",
            f"From: <sip:{self.user}@{DOMAIN}>;tag={self.user}",
            f"To: {to}",
            f"Call-ID: {call}",
            f"CSeq: {self.cseq} {method}",
            f"Contact: <sip:{self.user}@{self.at}>",
        ]
        self.send(lines + list(more), body, kind)

    def answer(self, message):
        """200 to whatever is asked, with a description where there is an INVITE."""
        head = message.split("\r\n\r\n")[0].split("\r\n")
        method = head[0].split(" ")[0]
        if method == "ACK":
            return
        kept = [line for line in head if re.match(r"(Via|From|Call-ID|CSeq|Record-Route):", line)]
        to = next(line for line in head if line.startswith("To:"))
        kept.append(to if ";tag=" in to else to + ";tag=" + self.user)
        kept.append(f"Contact: <sip:{self.user}@{self.at}>")
        body = self.sdp() if method == "INVITE" else ""
        self.send(["SIP/2.0 200 OK"] + kept, body, "application/sdp")


def field(message, name):
    return re.search(rf"^{name}: (.*)\r$", message, re.M).group(1)


alice, bob = Phone("alice"), Phone("bob")
callee = "sip:bob@" + DOMAIN
calls, called, due = 0, False, 0.0
while True:
    if time.monotonic() >= due:
        due = time.monotonic() + 1
        bob.request("REGISTER", "sip:" + DOMAIN, f"<{callee}>", "register-bob", ["Expires: 600"])
        if calls == 0:
            more = ["Event: presence", "Expires: 600"]
            bob.request("PUBLISH", callee, f"<{callee}>", "publish", more, PIDF, "application/pidf+xml")
            alice.request("SUBSCRIBE", callee, f"<{callee}>", "watch", more)
        if not called:
            calls += 1
            alice.request("INVITE", callee, f"<{callee}>", f"call-{calls}", (), alice.sdp(), "application/sdp")
    ready, _, _ = select.select([alice.socket, bob.socket], [], [], 0.2)
    for phone in (alice, bob):
        if phone.socket not in ready:
            continue
        message = phone.socket.recv(65536).decode(errors="replace")
        if not message.startswith("SIP/2.0 "):
            called = called and not message.startswith("BYE ")
            phone.answer(message)
        elif message.startswith("SIP/2.0 200 ") and field(message, "CSeq").endswith(" INVITE"):
            # RFC 3261 s13.2.2.4: the ACK goes to the Contact, with the number of the INVITE.
            called = True
            number = field(message, "CSeq").split(" ")[0]
            contact = re.search(r"<([^>]*)>", field(message, "Contact")).group(1)
            ack = [
                f"ACK {contact} SIP/2.0",
                f"Via: SIP/2.0/UDP {phone.at};branch=z9hG4bKack{number};rport",
                "Max-Forwards: 70",
                f"From: {field(message, 'From')}",
                f"To: {field(message, 'To')}",
                f"Call-ID: {field(message, 'Call-ID')}",
                f"CSeq: {number} ACK",
            ]
            phone.send(ack)
