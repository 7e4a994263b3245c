// The client against `roomkeeper lab`: rooms, idempotency, cooldowns, webhooks, the event stream.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Webhook } from "standardwebhooks";
import { ApiError, result, Roomkeeper, WebhookFormatError, WebhookVerificationError, WebhookVerifier } from "roomkeeper-client";
import { APP, Mailbox, startLab, startProxy, startReceiver } from "./lab.mjs";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
const COMMANDS = "/api/v1/sessions/{uuid}/commands/conference";

let lab;
let client;

before(async () => {
  lab = await startLab();
  client = new Roomkeeper({ baseUrl: lab.url, ...APP });
});

after(() => lab.close());

const command = (uuid, name, body, by = client) =>
  result(by.POST(`${COMMANDS}/${name}`, { params: { path: { uuid } }, body }));
const createRoom = (body) => result(client.POST("/api/v1/conferences", { body }));
const deleteRoom = (room_id) => result(client.DELETE("/api/v1/conferences/{room_id}", { params: { path: { room_id } } }));

/** A stream that is read at once; it ends with the test. */
async function follow(t, by, options) {
  const ended = new AbortController();
  const stream = by.followEvents({ ...options, signal: ended.signal });
  const events = new Mailbox();
  const reading = (async () => {
    for await (const streamed of stream) events.add(streamed);
  })();
  t.after(() => {
    ended.abort();
    return reading;
  });
  const until = async (name) => {
    for (;;) {
      const streamed = await events.next();
      if (streamed.event.event === name) return streamed;
    }
  };
  await until("stream.open");
  return { events, until, reading };
}

/** A call that is in no room; the lab has one after a while. */
async function parkedCall() {
  const end = Date.now() + 30_000;
  while (Date.now() < end) {
    const { sessions } = await result(client.GET("/api/v1/sessions"));
    const parked = sessions.find((call) => call.state === "parked");
    if (parked) return parked.uuid;
  }
  throw new Error("no call is parked");
}

/** A new room with a call in it, and the room's events. */
async function joinedCall(t, name) {
  const call = await parkedCall();
  const { room_id: room } = await createRoom({ name, session: call });
  const followed = await follow(t, client, { roomId: room });
  const joined = await command(call, "join", { room_id: room, muted: false });
  assert.equal(joined.status, "joining");
  const { event } = await followed.until("conference.member.joined");
  assert.equal(event.session_uuid, call);
  assert.equal(event.data.muted, false);
  return { call, room, followed };
}

async function end({ call, room }) {
  await deleteRoom(room);
  await result(client.POST("/api/v1/sessions/{uuid}/commands/hangup", { params: { path: { uuid: call } } }));
}

test("a repeated mute has one effect", async (t) => {
  const joined = await joinedCall(t, "mute-ts");
  const body = { command_uid: "mute-1" };
  const first = await command(joined.call, "mute", body);
  assert.deepEqual(await command(joined.call, "mute", body), first);
  assert.equal(first.status, "muted");
  const { event } = await joined.followed.until("conference.member.muted");
  assert.equal(event.data.command_uid, "mute-1");
  await end(joined);
  // The stream of a room ends with it.
  await joined.followed.reading;
  const names = joined.followed.events.rest.map((streamed) => streamed.event.event);
  assert.ok(!names.includes("conference.member.muted"), String(names));
  assert.equal(names.at(-1), "conference.destroyed");
});

test("a cooldown is waited for", async (t) => {
  const joined = await joinedCall(t, "cooldown-ts");
  const waits = [];
  const retry = { attempts: 3, sleep: async (wait) => void waits.push(wait), jitter: () => 0 };
  const hasty = new Roomkeeper({ baseUrl: lab.url, ...APP, retry });
  await command(joined.call, "mute", {}, hasty);
  // Nobody waits here, so Roomkeeper refuses each attempt.
  const refused = await command(joined.call, "unmute", {}, hasty).catch((error) => error);
  assert.ok(refused instanceof ApiError);
  assert.equal(refused.status, 429);
  assert.ok(refused.detail.retry_after_ms >= 1);
  assert.deepEqual(waits, [refused.retryAfter, refused.retryAfter]);
  // With real waits the command succeeds.
  assert.equal((await command(joined.call, "unmute", {})).status, "unmuted");
  await end(joined);
});

test("webhooks are verified", async (t) => {
  const receiver = await startReceiver();
  t.after(() => receiver.close());
  const body = { url: receiver.url, events: ["conference.created"], secret: SECRET };
  const { id } = await result(client.POST("/api/v1/webhooks", { body }));
  const endpoint = { params: { path: { id } } };
  await result(client.POST("/api/v1/webhooks/{id}/test", endpoint));
  const received = await receiver.next();
  const event = new WebhookVerifier(SECRET).verify(received.body, received.headers);
  assert.equal(event.event, "webhook.test");
  assert.equal(event.data.endpoint_id, id);
  const { room_id: room } = await createRoom({ name: "hooked-ts" });
  const second = await receiver.next();
  const made = new WebhookVerifier([OTHER, SECRET]).verify(second.body, new Headers(second.headers));
  assert.deepEqual([made.event, made.room_id, made.data.name], ["conference.created", room, "hooked-ts"]);
  checkRefusals(received);
  // While a secret is replaced, receivers with either secret accept the webhooks.
  const { secret } = await result(client.POST("/api/v1/webhooks/{id}/rotate-secret", endpoint));
  await result(client.POST("/api/v1/webhooks/{id}/test", endpoint));
  const third = await receiver.next();
  for (const either of [SECRET, secret]) {
    assert.equal(new WebhookVerifier(either).verify(third.body, third.headers).event, "webhook.test");
  }
  await result(client.DELETE("/api/v1/webhooks/{id}", endpoint));
  await deleteRoom(room);
});

function checkRefusals({ body, headers }) {
  const verifier = new WebhookVerifier(SECRET);
  const text = body.toString();
  for (const [changed, changes] of [
    [text.replace("demo", "other"), {}],
    [text, { "webhook-id": "msg_other" }],
    [text, { "webhook-signature": "v1,AAAA" }],
    [text, { "webhook-signature": "nonsense" }],
    [text, { "webhook-timestamp": "tomorrow" }],
    [text, { "webhook-signature": undefined }],
  ]) {
    assert.throws(() => verifier.verify(changed, { ...headers, ...changes }), WebhookVerificationError);
  }
  assert.throws(() => new WebhookVerifier(OTHER).verify(body, headers), WebhookVerificationError);
  for (const age of [600_000, -600_000]) {
    assert.throws(() => verifier.verify(text, signed(text, Date.now() - age)), WebhookVerificationError);
  }
  for (const other of ["[]", "{", '{"a":1}']) {
    assert.throws(() => verifier.verify(other, signed(other, Date.now())), WebhookFormatError);
  }
}

function signed(body, milliseconds) {
  const at = new Date(Math.floor(milliseconds / 1000) * 1000);
  return {
    "webhook-id": "msg_1",
    "webhook-timestamp": String(at.getTime() / 1000),
    "webhook-signature": new Webhook(SECRET).sign("msg_1", at, body),
  };
}

test("a stream resumes after a cut", async (t) => {
  const proxy = await startProxy(lab.url);
  t.after(() => proxy.close());
  const waits = [];
  const through = new Roomkeeper({ baseUrl: proxy.url, ...APP });
  const { events } = await follow(t, through, {
    events: ["conference.created"],
    sleep: async (wait) => void waits.push(wait),
  });
  const seen = [];
  const see = async (count) => {
    while (seen.length < count) {
      const { id, event } = await events.next();
      assert.notEqual(event.event, "stream.gap");
      if (event.event !== "conference.created" || !event.data.name.startsWith("cut-ts-")) continue;
      assert.ok(id);
      seen.push(event.data.name);
    }
  };
  const rooms = [];
  for (let number = 0; number < 6; number += 1) {
    if (number % 2 === 1) proxy.cut();
    rooms.push((await createRoom({ name: `cut-ts-${number}` })).room_id);
    // The position behind this event is known when the next cut comes.
    if (number % 2 === 0) await see(number + 1);
  }
  await see(6);
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5].map((number) => `cut-ts-${number}`));
  assert.ok(proxy.connections() >= 4);
  assert.ok(waits.length > 0);
  for (const room of rooms) await deleteRoom(room);
});

test("a stream with a wrong key fails", async () => {
  const stream = new Roomkeeper({ baseUrl: lab.url, appId: "demo", apiKey: "wrong" }).followEvents();
  await assert.rejects(stream[Symbol.asyncIterator]().next(), { status: 401 });
});
