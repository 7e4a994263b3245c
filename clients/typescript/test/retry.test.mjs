// Retries and idempotency keys, against a `fetch` that answers from a list.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, result, Roomkeeper } from "roomkeeper-client";

const ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000";
const CALL = "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11";

const refusal = (status, after) =>
  Response.json({ success: false, error: "not now" }, { status, headers: after ? { "Retry-After": after } : {} });
const muted = () => Response.json({ status: "muted", room_id: ROOM }, { status: 202 });

/** A client whose requests get these answers. */
function script(answers, jitter = 0) {
  const requests = [];
  const waits = [];
  const client = new Roomkeeper({
    baseUrl: "http://lab.test",
    appId: "demo",
    apiKey: "key",
    retry: { attempts: 3, longestWait: 20, sleep: async (wait) => void waits.push(wait), jitter: () => jitter },
    fetch: async (url, init) => {
      requests.push({ url, method: init.method, body: init.body, headers: new Headers(init.headers) });
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  const uids = () => requests.map((request) => JSON.parse(request.body).command_uid);
  const mute = (body) =>
    result(client.POST("/api/v1/sessions/{uuid}/commands/conference/mute", { params: { path: { uuid: CALL } }, body }));
  return { client, requests, waits, uids, mute };
}

test("a command is sent again after Retry-After with the same key", async () => {
  const { mute, waits, uids, requests } = script([refusal(429, "3"), refusal(503, "8"), muted()], 1);
  assert.equal((await mute()).status, "muted");
  assert.deepEqual(waits, [3.75, 9]);
  assert.equal(new Set(uids()).size, 1);
  assert.match(uids()[0], /^[a-zA-Z0-9._-]{1,128}$/);
  assert.equal(requests[2].headers.get("content-type"), "application/json");
  assert.equal(requests[2].headers.get("x-app-id"), "demo");
});

test("each command has its own key, and that of the caller is kept", async () => {
  const { mute, uids } = script([muted(), muted(), muted()]);
  await mute();
  await mute({});
  await mute({ command_uid: "mute-1" });
  assert.equal(new Set(uids()).size, 3);
  assert.equal(uids()[2], "mute-1");
});

test("attempts are bounded", async () => {
  const { mute, requests } = script([1, 2, 3].map(() => refusal(429, "1")));
  await assert.rejects(mute(), (error) => error instanceof ApiError && error.status === 429 && error.retryAfter === 1);
  assert.equal(requests.length, 3);
});

test("a wait that is too long is left to the caller", async () => {
  const { client, waits } = script([refusal(503, "3600")]);
  await assert.rejects(result(client.GET("/api/v1/conferences")), { status: 503, retryAfter: 3600 });
  assert.deepEqual(waits, []);
});

test("a lost connection of a command is retried", async () => {
  const { mute, waits, uids } = script([new TypeError("fetch failed"), muted()], 1);
  await mute();
  assert.deepEqual(waits, [0.25]);
  assert.equal(new Set(uids()).size, 1);
});

test("a request without a key is repeated only when it had no effect", async () => {
  const create = (client) => result(client.POST("/api/v1/conferences", { body: { name: "standup" } }));
  for (const answer of [new TypeError("fetch failed"), refusal(503, "1")]) {
    const { client, requests } = script([answer]);
    await assert.rejects(create(client));
    assert.equal(requests.length, 1);
  }
  const { client } = script([refusal(429, "1"), Response.json({ room_id: ROOM }, { status: 201 })]);
  assert.equal((await create(client)).room_id, ROOM);
});

test("other refusals are not retried", async () => {
  for (const status of [400, 404, 409, 500, 502, 504]) {
    const { client, requests } = script([refusal(status)]);
    await assert.rejects(result(client.GET("/api/v1/conferences")), { status });
    assert.equal(requests.length, 1);
  }
});
