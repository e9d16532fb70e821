// A phone in a page: registers over WebSocket, calls, is called, and writes. `npm ci && npm run build` makes phone.js of it.

import JsSIP from "jssip";

const find = (id) => document.getElementById(id);
const log = (line) => find("log").append(`${new Date().toLocaleTimeString()}  ${line}\n`);

let phone;
let session;

function show() {
  const ringing = session && session.direction === "incoming" && !session.isEstablished();
  find("answer").hidden = !ringing;
  find("end").hidden = !session;
  find("call").hidden = Boolean(session);
}

/** Takes a call, ours or somebody's, until it is over. */
function take(next, who) {
  if (session) {
    next.terminate({ status_code: 486 });
    return;
  }
  session = next;
  const over = (how) => (e) => {
    log(`${who}: ${how}${e.cause ? ` (${e.cause})` : ""}`);
    session = undefined;
    show();
  };
  next.on("progress", () => log(`${who}: ringing`));
  next.on("confirmed", () => {
    log(`${who}: talking`);
    show();
  });
  next.on("ended", over("over"));
  next.on("failed", over("not reached"));
  const listen = (connection) =>
    connection.addEventListener("track", (e) => (find("sound").srcObject = e.streams[0]));
  if (next.connection) listen(next.connection);
  else next.on("peerconnection", (e) => listen(e.peerconnection));
  show();
}

find("account").addEventListener("submit", (e) => {
  e.preventDefault();
  phone?.stop();
  const { address, password, server } = Object.fromEntries(new FormData(e.target));
  phone = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(server)],
    uri: `sip:${address}`,
    password,
    register_expires: 300,
  });
  const state = (text) => () => (find("state").value = text);
  phone.on("registered", state("registered"));
  phone.on("unregistered", state("not registered"));
  phone.on("disconnected", state("no connection"));
  phone.on("registrationFailed", (e) => (find("state").value = `not registered: ${e.cause}`));
  phone.on("newRTCSession", ({ originator, session }) => {
    if (originator === "remote") take(session, session.remote_identity.uri.user);
  });
  phone.on("newMessage", ({ originator, message, request }) => {
    if (originator === "remote") log(`${message.remote_identity.uri.user}: ${request.body}`);
  });
  phone.start();
});

find("call").addEventListener("click", () => {
  const whom = find("whom").value;
  if (phone && whom) take(phone.call(`sip:${whom}`, { mediaConstraints: { audio: true, video: false } }), whom);
});
find("answer").addEventListener("click", () => session?.answer({ mediaConstraints: { audio: true, video: false } }));
find("end").addEventListener("click", () => session?.terminate());
find("send").addEventListener("click", () => {
  const [whom, text] = [find("whom").value, find("text").value];
  if (!phone || !whom || !text) return;
  phone.sendMessage(`sip:${whom}`, text, {
    eventHandlers: {
      succeeded: () => log(`to ${whom}: ${text}`),
      failed: (e) => log(`to ${whom}: not delivered (${e.cause})`),
    },
  });
  find("text").value = "";
});
addEventListener("pagehide", () => phone?.stop());
