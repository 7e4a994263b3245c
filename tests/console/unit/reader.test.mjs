// The reads of the operator's page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "./console/api.js";
import { createReader } from "./console/operator/reader.js";
import { initial, reduce, shownCalls } from "./console/operator/state.js";

const CALLS = [{ uuid: "s1" }, { uuid: "s2" }];

/** A reader with an API that has these calls. `requests`: the requests for calls. */
function readerOf({ failing = new Map() } = {}) {
  const page = { state: initial(0), requests: [] };
  const api = {
    async get(at) {
      if (at === "/nodes") return { nodes: [] };
      if (at === "/apps") return { apps: [] };
      page.requests.push(at);
      if (failing.has(at)) throw failing.get(at);
      return at.startsWith("/search") || at.startsWith("/calls?") ? { calls: CALLS, cursor: "" } : {};
    },
  };
  page.dispatch = (action) => {
    page.state = reduce(page.state, action);
  };
  const reader = createReader({ api, dispatch: page.dispatch, getState: () => page.state });
  page.read = () => reader.read({ place: "calls", id: null });
  page.filter = (change) => page.dispatch({ type: "filter", name: "calls", change });
  return page;
}

test("a list is read by each poll, a search once for each change of its filters", async () => {
  const page = readerOf();
  await page.read();
  await page.read();
  assert.deepEqual(page.requests.splice(0), ["/calls?limit=100", "/calls?limit=100"]);
  page.filter({ number: "5271" });
  await page.read();
  await page.read();
  assert.deepEqual(page.requests.splice(0), ["/search?number=5271"]);
  page.filter({ node: "acW68" });
  await page.read();
  await page.read();
  assert.deepEqual(page.requests.splice(0), ["/search?number=5271&node=acW68"]);
  page.filter({});
  await page.read();
  assert.deepEqual(page.requests.splice(0), ["/search?number=5271&node=acW68"]);
});

test("a failed search is repeated by the next poll", async () => {
  const failing = new Map([["/search?number=5271", new ApiError(503, "another search is in progress")]]);
  const page = readerOf({ failing });
  page.filter({ number: "5271" });
  await page.read();
  assert.equal(page.state.lists.calls.error, "another search is in progress");
  failing.clear();
  await page.read();
  await page.read();
  assert.equal(page.requests.length, 2);
  assert.deepEqual([page.state.lists.calls.error, shownCalls(page.state)], [null, CALLS]);
});

test("a found call disappears when its hang-up has ended it", async () => {
  const failing = new Map([["/calls/s2", new ApiError(503, "busy")]]);
  const page = readerOf({ failing });
  page.filter({ number: "5271" });
  await page.read();
  page.dispatch({ type: "requested", key: "hangup:s2", want: true, label: "hang up", at: 1 });
  await page.read();
  assert.deepEqual([shownCalls(page.state), page.state.pending.size], [CALLS, 1]);
  failing.set("/calls/s2", new ApiError(404, "gone"));
  await page.read();
  assert.deepEqual([shownCalls(page.state), page.state.pending.size], [[CALLS[0]], 0]);
  await page.read();
  assert.deepEqual(page.requests, ["/search?number=5271", "/calls/s2", "/calls/s2"]);
});
