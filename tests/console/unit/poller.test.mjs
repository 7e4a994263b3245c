// The poller of the operator's page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "./console/api.js";
import { POLL_MS, createPoller } from "./console/operator/poller.js";

/** A poller whose reads have these outcomes, in order: an error, or null. */
function pollerOf(t, outcomes, dispatch) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const log = t.mock.method(console, "error", () => {});
  const over = new AbortController();
  const found = { reads: 0, actions: [], refused: 0, log, over };
  const poller = createPoller({
    async readOnce() {
      const error = outcomes[found.reads] ?? null;
      found.reads += 1;
      if (error) throw error;
    },
    dispatch: dispatch ?? ((action) => found.actions.push(action)),
    isVisible: () => true,
    signal: over.signal,
    refused: () => (found.refused += 1),
  });
  return { poller, found };
}

/** Lets the reads that a timer has begun end. */
const settled = () => new Promise((done) => setImmediate(done));

test("an unexpected error is a lost connection and does not stop the polling", async (t) => {
  const { poller, found } = pollerOf(t, [new TypeError("rows is not iterable")]);
  await poller.now();
  assert.deepEqual(found.actions.map(({ status, error }) => [status, error]), [["lost", "The page cannot process the response"]]);
  assert.equal(found.log.mock.callCount(), 1);
  t.mock.timers.tick(POLL_MS);
  await settled();
  assert.deepEqual([found.reads, found.actions.at(-1).status], [2, "open"]);
  await poller.now();
  assert.equal(found.reads, 3);
});

test("a failure of the page itself does not stop the polling", async (t) => {
  let broken = true;
  const { poller, found } = pollerOf(t, [], () => {
    if (broken) throw new Error("broken");
  });
  await assert.rejects(poller.now(), /broken/);
  broken = false;
  t.mock.timers.tick(POLL_MS);
  await settled();
  assert.equal(found.reads, 2);
});

test("polling waits as long as the API says, and ends with the key or the session", async (t) => {
  const { poller, found } = pollerOf(t, [new ApiError(503, "busy", { retryAfterMs: 9_000 }), null, new ApiError(401, "no")]);
  await poller.now();
  t.mock.timers.tick(8_999);
  await settled();
  assert.equal(found.reads, 1);
  t.mock.timers.tick(1);
  await settled();
  assert.equal(found.reads, 2);
  t.mock.timers.tick(POLL_MS);
  await settled();
  assert.deepEqual([found.reads, found.refused], [3, 1]);
  t.mock.timers.tick(POLL_MS);
  await settled();
  assert.equal(found.reads, 3);
});
