// Two phones in one page: alice with JsSIP over WS, bob with SIP.js over WSS. What they do is told step by step to the
// address in ?report=, and so is what went wrong.

import JsSIP from "jssip";
import * as SIP from "sip.js";

const query = new URLSearchParams(location.search);
const steps = [];

function told(step) {
  steps.push(step);
}

function report(end) {
  const body = JSON.stringify({ end, steps });
  return fetch(query.get("report"), { method: "POST", mode: "no-cors", body });
}

/** Fails with this name if it does not happen in time. */
function within(what, promise) {
  const late = new Promise((_, fail) => setTimeout(() => fail(new Error(`${what} did not happen`)), 20_000));
  return Promise.race([promise, late]);
}

/** Waits for an event of JsSIP; one of the others fails. */
function event(emitter, name, ...failures) {
  return within(
    name,
    new Promise((done, fail) => {
      emitter.once(name, done);
      for (const failure of failures) {
        emitter.once(failure, (e) => fail(new Error(`${failure} instead of ${name}: ${e.cause ?? ""}`)));
      }
    }),
  );
}

/** Waits until an emitter of SIP.js gives a value that fits. */
function change(what, emitter, fits) {
  return within(what, new Promise((done) => emitter.addListener((value) => fits(value) && done(value))));
}

/** alice: JsSIP over WS. */
async function registeredAlice() {
  const alice = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(query.get("ws"))],
    uri: "sip:alice@localhost",
    password: "wonderland",
    register_expires: 300,
  });
  alice.start();
  await event(alice, "registered", "registrationFailed");
  return alice;
}

async function run() {
  const alice = await registeredAlice();
  told("alice registered over WS");

  // bob: SIP.js over WSS.
  const invited = [];
  let onInvite = (invitation) => invited.push(invitation);
  let onMessage = () => {};
  const bob = new SIP.UserAgent({
    uri: SIP.UserAgent.makeURI("sip:bob@localhost"),
    authorizationUsername: "bob",
    authorizationPassword: "builder",
    transportOptions: { server: query.get("wss") },
    logLevel: "error",
    delegate: {
      onInvite: (invitation) => onInvite(invitation),
      onMessage: (message) => onMessage(message),
    },
  });
  await within("bob's connection", bob.start());
  const registerer = new SIP.Registerer(bob, { expires: 300 });
  const registered = change("bob's registration", registerer.stateChange, (s) => s === SIP.RegistererState.Registered);
  await registerer.register();
  await registered;
  told("bob registered over WSS");

  // Messages, both ways.
  const heard = within("the message to bob", new Promise((done) => (onMessage = done)));
  alice.sendMessage("sip:bob@localhost", "Tea?");
  const message = await heard;
  await message.accept();
  told(`bob read: ${message.request.body}`);
  const answered = event(alice, "newMessage");
  await new SIP.Messager(bob, SIP.UserAgent.makeURI("sip:alice@localhost"), "With pleasure").message();
  told(`alice read: ${(await answered).request.body}`);

  // Presence: bob publishes his, and watches it.
  const watcher = new SIP.Subscriber(bob, SIP.UserAgent.makeURI("sip:bob@localhost"), "presence", { expires: 300 });
  const bodies = [];
  let onState = () => {};
  watcher.delegate = {
    onNotify: (notification) => {
      bodies.push(notification.request.body);
      notification.accept();
      onState();
    },
  };
  const state = (open) =>
    within(
      `presence ${open}`,
      new Promise((done) => {
        onState = () => (bodies.at(-1) ?? "").includes(open) && done();
        onState();
      }),
    );
  await watcher.subscribe();
  await state("<presence");
  const pidf =
    '<?xml version="1.0" encoding="UTF-8"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@localhost">' +
    '<tuple id="page"><status><basic>open</basic></status><note>In the browser</note></tuple></presence>';
  const publisher = new SIP.Publisher(bob, SIP.UserAgent.makeURI("sip:bob@localhost"), "presence", {
    body: pidf,
    contentType: "application/pidf+xml",
    expires: 300,
  });
  await publisher.publish(pidf);
  await state("In the browser");
  told("bob's presence came back to his watcher");
  await watcher.unsubscribe();

  // alice calls bob, with sound on both sides; she hangs up.
  const media = { mediaConstraints: { audio: true, video: false } };
  const rings = within("the call to bob", new Promise((done) => (onInvite = done)));
  const call = alice.call("sip:bob@localhost", media);
  const confirmed = event(call, "confirmed", "failed");
  const invitation = await rings;
  await invitation.accept();
  await confirmed;
  told("bob answered alice");
  await sound(call.connection);
  told("alice hears bob");
  const over = change("the end of the call", invitation.stateChange, (s) => s === SIP.SessionState.Terminated);
  call.terminate();
  await over;
  told("alice hung up, and bob knows");

  // bob calls alice; he hangs up before she answers, then she declines.
  const target = SIP.UserAgent.makeURI("sip:alice@localhost");
  const { session: ringing, inviter: cancelled } = await callAlice(alice, bob, target);
  const gone = event(ringing, "failed");
  await cancelled.cancel();
  told(`alice's phone stopped ringing: ${(await gone).cause}`);
  const { session, inviter, status } = await callAlice(alice, bob, target);
  session.terminate({ status_code: 486 });
  told(`bob heard ${await within("the refusal", status)}`);
  await inviter.dispose();

  // alice calls carol, who is no browser.
  const carol = alice.call("sip:carol@localhost", media);
  await event(carol, "confirmed", "failed");
  told("carol answered alice");
  const ended = event(carol, "ended");
  carol.terminate();
  await ended;
  told("alice hung up on carol");

  const unregistered = event(alice, "unregistered");
  alice.unregister();
  await unregistered;
  alice.stop();

  // The phone page that comes with the server, in a frame, filled in as its user would.
  const frame = document.body.appendChild(document.createElement("iframe"));
  frame.src = "index.html";
  await within("the phone page", new Promise((done) => (frame.onload = done)));
  const phone = frame.contentDocument;
  const fields = { address: "alice@localhost", password: "wonderland", server: query.get("ws") };
  for (const [name, value] of Object.entries(fields)) {
    phone.querySelector(`[name=${name}]`).value = value;
  }
  phone.querySelector("form button").click();
  await shown("registration of the phone page", () => phone.getElementById("state").value === "registered");
  await new SIP.Messager(bob, target, "In a frame?").message();
  await shown("message in the phone page", () => phone.getElementById("log").textContent.includes("bob: In a frame?"));
  told("the phone page registered and was written to");
  frame.remove();

  const left = change("bob's end", registerer.stateChange, (s) => s === SIP.RegistererState.Unregistered);
  await registerer.unregister();
  await left;
  told("bob unregistered");
  await bob.stop();
}

/** alice and a plain phone, which do not understand each other without a gateway. */
async function gateway() {
  const alice = await registeredAlice();
  const media = { mediaConstraints: { audio: true, video: false } };
  const call = alice.call("sip:carol@localhost", media);
  await event(call, "confirmed", "failed");
  await sound(call.connection);
  await spoken(call.connection);
  told("alice called a plain phone, and hears it");
  const rings = event(alice, "newRTCSession");
  call.terminate();

  // The phone calls back.
  const { session } = await rings;
  session.answer(media);
  await event(session, "confirmed", "failed");
  await sound(session.connection);
  await spoken(session.connection);
  told("a plain phone called alice, and she hears it");
  const ended = event(session, "ended");
  session.terminate();
  await ended;
  alice.stop();
}

/** Waits until a page shows something. */
function shown(what, look) {
  return within(
    what,
    new Promise((done) => {
      const timer = setInterval(() => look() && (clearInterval(timer), done()), 50);
    }),
  );
}

/** bob calls alice and her phone rings. */
async function callAlice(alice, bob, target) {
  const rings = event(alice, "newRTCSession");
  const inviter = new SIP.Inviter(bob, target, {
    sessionDescriptionHandlerOptions: { constraints: { audio: true, video: false } },
  });
  let refused;
  const status = new Promise((done) => (refused = done));
  await inviter.invite({
    requestDelegate: { onReject: (response) => refused(response.message.statusCode) },
  });
  return { session: (await rings).session, inviter, status };
}

/** Waits until packets of sound came in. */
function sound(connection) {
  return counted(connection, (stats) => stats.type === "inbound-rtp" && stats.packetsReceived > 5);
}

/** Waits until so much was sent that a phone has heard enough. */
function spoken(connection) {
  return counted(connection, (stats) => stats.type === "outbound-rtp" && stats.packetsSent > 200);
}

async function counted(connection, enough) {
  for (let tries = 0; tries < 200; tries++) {
    for (const [, stats] of await connection.getStats()) {
      if (enough(stats)) {
        return;
      }
    }
    await new Promise((next) => setTimeout(next, 100));
  }
  throw new Error(`no sound: ICE is ${connection.iceConnectionState}`);
}

(query.get("gateway") ? gateway() : run()).then(
  () => report("all of it"),
  (error) => report(`failed: ${error.message}`),
);
