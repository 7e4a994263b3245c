// The end of the event stream, against a `fetch` that answers from a list.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Roomkeeper } from "roomkeeper-client";

const EVENTS = 'id: 1\ndata: {"event":"conference.sang"}\n\nid: 2\ndata: {"event":"conference.danced"}\n\n';

const events = () => new Response(EVENTS, { headers: { "Content-Type": "text/event-stream" } });

/** A stream whose requests get these answers; each is made when its request comes. */
function script(answers, options = {}) {
  const ended = new AbortController();
  const client = new Roomkeeper({
    baseUrl: "http://lab.test",
    appId: "demo",
    apiKey: "key",
    fetch: async (_, { signal }) => answers.shift()({ signal, ended }),
  });
  return { ended, stream: client.followEvents({ ...options, signal: ended.signal }) };
}

async function names(stream, seen = () => {}) {
  const names = [];
  for await (const { event } of stream) {
    names.push(event.event);
    seen();
  }
  return names;
}

/** An answer that does not come before the abort. */
const abortedAnswer = ({ signal, ended }) =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    ended.abort();
  });

test("an abort during a connect ends the stream", async () => {
  const { stream } = script([abortedAnswer]);
  assert.deepEqual(await names(stream), []);
});

test("an abort during a reconnect ends the stream", async () => {
  const { stream } = script([events, abortedAnswer], { sleep: async () => {} });
  assert.deepEqual(await names(stream), ["conference.sang", "conference.danced"]);
});

test("an abort between events ends the stream", async () => {
  const { stream, ended } = script([events]);
  assert.deepEqual(await names(stream, () => ended.abort()), ["conference.sang"]);
  assert.equal(stream.lastEventId, "1");
});

test("an abort ends the wait for a reconnect and its timer", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const before = timers();
  const refusal = () =>
    Response.json({ success: false, error: "not now" }, { status: 503, headers: { "Retry-After": "20" } });
  // The stream computes its wait, and then waits.
  const jitter = () => {
    setImmediate(() => ended.abort());
    return 0;
  };
  const { stream, ended } = script([refusal], { jitter });
  assert.deepEqual(await names(stream), []);
  assert.equal(timers(), before);
});
