// Changes of the filters of the operator's lists.

import assert from "node:assert/strict";
import { test } from "node:test";

import { TYPING_MS, createFilters } from "./console/operator/filters.js";

function filtersOf(t) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const found = [];
  const dispatch = ({ type, name, change }) => found.push([type, name, change]);
  return { filters: createFilters({ dispatch, read: () => found.push("read") }), found };
}

test("changes while the user types are applied together, with one read", (t) => {
  const { filters, found } = filtersOf(t);
  filters.change("audit", { action: "rooms." }, true);
  filters.change("audit", { action: "rooms.*" }, true);
  filters.change("audit", { actor: "demo" }, true);
  filters.change("calls", { number: "5271" }, true);
  t.mock.timers.tick(TYPING_MS - 1);
  assert.deepEqual(found, []);
  t.mock.timers.tick(1);
  assert.deepEqual(found, [["filter", "audit", { action: "rooms.*", actor: "demo" }], ["filter", "calls", { number: "5271" }], "read"]);
});

test("a choice is applied at once with the text typed before", (t) => {
  const { filters, found } = filtersOf(t);
  filters.change("calls", { number: "5271" }, true);
  filters.change("calls", { node: "acW68" });
  assert.deepEqual(found, [["filter", "calls", { number: "5271", node: "acW68" }], "read"]);
  t.mock.timers.tick(TYPING_MS);
  assert.equal(found.length, 2);
});

test("no change is applied after the end of the session", (t) => {
  const { filters, found } = filtersOf(t);
  filters.change("calls", { number: "5271" }, true);
  filters.end();
  t.mock.timers.tick(TYPING_MS);
  assert.deepEqual(found, []);
});
