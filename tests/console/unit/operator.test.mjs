// The state of the operator's page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CONFIRM_MS } from "./console/pending.js";
import { endingCalls, initial, isFound, orphanCount, queryOf, reduce, shownCalls } from "./console/operator/state.js";

const run = (state, ...actions) => actions.reduce(reduce, state);
const list = (state, name, rows, rest = {}) => ({ type: "list", name, query: queryOf(state, name), rows, ...rest });
const requested = (key, want = true) => ({ type: "requested", key, want, label: key, at: 1000 });

test("filters make the query, and a response for other filters is ignored", () => {
  let state = initial(0);
  assert.equal(queryOf(state, "rooms"), "/rooms?limit=100");
  const stale = list(state, "rooms", [{ room_id: "old" }]);
  state = run(state, { type: "filter", name: "rooms", change: { app_id: "a&b", node: "acW68" } });
  assert.equal(queryOf(state, "rooms"), "/rooms?limit=100&app_id=a%26b&node=acW68");
  assert.equal(run(state, stale).lists.rooms.rows, null);
  state = run(state, list(state, "rooms", [{ room_id: "r" }], { cursor: "c" }), { type: "list.more", name: "rooms" });
  assert.deepEqual([state.lists.rooms.rows.length, state.lists.rooms.cursor, state.lists.rooms.pages], [1, "c", 2]);
  const failed = run(state, { type: "list.failed", name: "rooms", query: queryOf(state, "rooms"), error: "no" });
  assert.equal(failed.lists.rooms.error, "no");
  assert.equal(failed.lists.rooms.rows.length, 1, "the last rows stay");
  state = run(state, { type: "filter", name: "audit", change: { since: "2026-05-06T12:00" } });
  assert.equal(queryOf(state, "audit"), `/audit?limit=100&since=${encodeURIComponent(new Date("2026-05-06T12:00").toISOString())}`);
});

test("a search by number is its own request, filtered by state on the page", () => {
  let state = run(initial(0), { type: "filter", name: "calls", change: { number: " +49 30 ", app_id: "a", state: "parked" } });
  assert.equal(queryOf(state, "calls"), "/search?number=%2B49%2030&app_id=a");
  const calls = [{ uuid: "1", state: "parked" }, { uuid: "2", state: "in_room" }];
  state = run(state, list(state, "calls", calls, { truncated: true }));
  assert.deepEqual(shownCalls(state).map((call) => call.uuid), ["1"]);
  assert.equal(state.lists.calls.truncated, true);
  state = run(state, { type: "filter", name: "calls", change: { number: "52" } });
  assert.equal(queryOf(state, "calls"), "/calls?limit=100&app_id=a&state=parked", "too short to search");
});

test("a found call whose hang-up is pending is read, and removed when it has ended", () => {
  let state = run(initial(0), { type: "filter", name: "calls", change: { number: "5271" } });
  assert.equal(isFound(state, "calls"), false, "the search has not ended");
  state = run(state, list(state, "calls", [{ uuid: "1" }, { uuid: "2" }], { at: 5 }), requested("hangup:2"), requested("hangup:3"));
  assert.deepEqual([isFound(state, "calls"), state.lists.calls.at, endingCalls(state)], [true, 5, ["2"]]);
  state = run(state, { type: "call.ended", id: "2" });
  assert.deepEqual(shownCalls(state), [{ uuid: "1" }]);
  assert.deepEqual([...state.pending.keys()], ["hangup:3"]);
  state = run(state, { type: "filter", name: "calls", change: {} });
  assert.equal(isFound(state, "calls"), false, "an unchanged filter searches again");
  assert.deepEqual(run(state, { type: "call.ended", id: "1" }).lists.calls.rows, null);
});

test("commands are pending until a read shows their effect", () => {
  const node = (change) => ({ type: "nodes", change: { rows: [{ id: "acW68", draining: false, resynced_at: "t1", ...change }] } });
  let state = run(initial(0), node({}), requested("drain:acW68"), requested("resync:acW68", "t1"), requested("disable:demo"), requested("hangup:s"), requested("delete:r"));
  state = run(state, list(state, "calls", [{ uuid: "s" }]), list(state, "rooms", [{ room_id: "r" }]), node({}), { type: "apps", change: { rows: [{ app_id: "demo", disabled: false }] } });
  assert.equal(state.pending.size, 5);
  state = run(state, node({ draining: true }));
  assert.equal(state.pending.has("drain:acW68"), false);
  state = run(state, node({ draining: true, resynced_at: "t2" }));
  assert.equal(state.pending.has("resync:acW68"), false);
  state = run(state, { type: "apps", change: { rows: [{ app_id: "demo", disabled: true }] } });
  state = run(state, list(state, "calls", []), list(state, "rooms", []));
  assert.deepEqual([...state.pending.keys()], []);
});

test("the end of an opened room confirms its deletion", () => {
  let state = run(initial(0), { type: "room", id: "r", row: { members: [{ uuid: "s" }] } }, requested("delete:r"), requested("hangup:s"));
  state = run(state, { type: "room", id: "r", row: { members: [{ uuid: "s" }] } });
  assert.equal(state.pending.size, 2);
  state = run(state, { type: "room", id: "r", gone: true });
  assert.deepEqual([state.room.gone, state.pending.size], [true, 0]);
});

test("an unconfirmed command ends with a notice, and a lost connection keeps its time", () => {
  let state = run(initial(0), { type: "link", status: "open", at: 1 }, { type: "room", id: "r", row: { members: [] } }, requested("delete:r"));
  state = run(state, { type: "tick", at: 1000 + CONFIRM_MS });
  assert.match(state.notices[0].text, /delete:r/);
  state = run(state, { type: "link", status: "lost", at: 5, retryAt: 9, error: "no" }, { type: "link", status: "lost", at: 9, retryAt: 20, error: "no" });
  assert.deepEqual([state.link.since, state.link.lost, state.announcement.text], [5, true, "Connection lost"]);
  state = run(state, { type: "link", status: "open", at: 30 });
  assert.deepEqual([state.link.lost, state.announcement.text], [false, "Reconnected"]);
});

test("orphans of all nodes are counted", () => {
  assert.equal(orphanCount(initial(0).orphans), 0);
  const node = { conferences_total: 2, calls_total: 1, records_total: 3 };
  assert.equal(orphanCount({ nodes: [node, node], records: [{}] }), 13);
});
