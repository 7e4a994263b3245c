// The parser of the event stream, and the pauses between attempts.

import assert from "node:assert/strict";
import { test } from "node:test";

import { SseParser, openStream, pause } from "./console/stream.js";

const STREAM = [
  ": a comment",
  "retry: 2000",
  "id: a1",
  "event: stream.open",
  'data: {"event":"stream.open"}',
  "",
  "event: member.talking",
  "data: first",
  "data:second",
  "",
  ":",
  "",
  "id: a2",
  "",
  "data",
  "",
].join("\n") + "\n";

const EVENTS = [
  { id: "a1", event: "stream.open", data: '{"event":"stream.open"}' },
  { id: "a1", event: "member.talking", data: "first\nsecond" },
  { id: "a2", event: "message", data: "" },
];

test("events do not depend on the chunks of the stream", () => {
  for (const end of ["\n", "\r\n", "\r"]) {
    const text = STREAM.replaceAll("\n", end);
    for (let size = 1; size <= text.length; size += 1) {
      const parser = new SseParser();
      const found = [];
      for (let at = 0; at < text.length; at += size) found.push(...parser.push(text.slice(at, at + size)));
      assert.deepEqual(found, EVENTS, `pieces of ${size}, lines end in ${JSON.stringify(end)}`);
      assert.equal(parser.lastId, "a2");
      assert.equal(parser.retryMs, 2000);
    }
  }
});

test("an incomplete event is not delivered", () => {
  const parser = new SseParser();
  assert.deepEqual(parser.push("id: b\ndata: half"), []);
  assert.equal(parser.lastId, "");
});

test("an endless event is refused", () => {
  const parser = new SseParser();
  assert.throws(() => {
    for (let i = 0; i < 100; i += 1) parser.push(`data: ${"x".repeat(100_000)}\n`);
  }, /too long/);
});

test("pauses grow, are bounded, and are random", () => {
  assert.equal(pause(0, () => 0), 250);
  assert.equal(pause(0, () => 1), 500);
  assert.equal(pause(3, () => 1), 4000);
  assert.equal(pause(50, () => 1), 15_000);
  assert.equal(pause(50, () => 0), 7500);
});

test("a lost stream resumes behind the last event", async () => {
  const requested = [];
  const received = [];
  const bodies = ["id: one\ndata: {\"n\":1}\n\nid: two\ndata: {\"n\":2", "id: two\ndata: {\"n\":2}\n\n"];
  let stream = null;
  await new Promise((done) => {
    stream = openStream({
      at: "/events",
      quietMs: 10_000,
      random: () => 0,
      api: {
        async stream(at, headers) {
          requested.push(headers["Last-Event-ID"] ?? null);
          return new Response(bodies.shift() ?? "");
        },
      },
      onEvent: ({ data }) => received.push(data.n),
      onLink({ status }) {
        if (status === "lost") stream.now();
        if (received.length === 2) done();
      },
    });
  });
  stream.close();
  assert.deepEqual(received, [1, 2]);
  assert.deepEqual(requested.slice(0, 2), [null, "one"]);
});
