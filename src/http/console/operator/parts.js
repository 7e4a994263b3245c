// Shared parts of the operator's views: filters, the frame of a list, states of calls.

import { h } from "../dom.js";
import { button, empty, failure } from "../views/parts.js";
import { MAX_PAGES } from "./state.js";

export const CALL_STATES = {
  ringing: ["warn", "Ringing"],
  parked: ["info", "Waiting"],
  acting: ["plain", "In actions"],
  joining: ["warn", "Joining …"],
  in_room: ["good", "In a room"],
  leaving: ["warn", "Leaving …"],
};

export const filters = (label, ...fields) => h("div", { class: "filters", role: "search", "aria-label": label }, fields);

/** A selection. `options`: `[value, label]`; the first one means all. */
export function choice({ id, label, value, options, on }) {
  return h(
    "label",
    { class: "filter-field", key: id },
    h("span", null, label),
    h("select", { id, on: { change: (event) => on(event.target.value) } }, options.map(([one, text]) => h("option", { value: one, selected: one === value, key: one }, text))),
  );
}

export function text({ id, label, value, type = "search", placeholder = null, on }) {
  return h(
    "label",
    { class: "filter-field", key: id },
    h("span", null, label),
    h("input", { id, type, value, placeholder, autocomplete: "off", spellcheck: "false", on: { input: (event) => on(event.target.value) } }),
  );
}

export function appChoice(name, state, act) {
  const apps = (state.apps.rows ?? []).map((app) => [app.app_id, app.app_id]);
  return choice({ id: `${name}-app`, label: "App", value: state.filters[name].app_id, options: [["", "All apps"], ...apps], on: (app_id) => act.filter(name, { app_id }) });
}

export function nodeChoice(name, state, act) {
  const nodes = (state.nodes.rows ?? []).map((node) => [node.id, node.id]);
  return choice({ id: `${name}-node`, label: "Node", value: state.filters[name].node, options: [["", "All nodes"], ...nodes], on: (node) => act.filter(name, { node }) });
}

/** A list with its errors and its end. `none`: the text of an empty list. `show(rows)` renders it. */
export function listOf({ name, state, act, rows = state.lists[name].rows, none, show }) {
  const list = state.lists[name];
  return [
    list.error && failure(list.error, act.retryNow),
    !rows && !list.error && empty("Loading …"),
    // With filters, a page can be empty without being the last.
    rows?.length === 0 && empty(list.cursor ? "Nothing matches so far." : none),
    rows?.length > 0 && show(rows),
    (rows?.length > 0 || list.cursor) &&
      h(
        "p",
        { class: "list-end muted" },
        rows && h("span", null, rows.length === 1 ? "1 row" : `${rows.length} rows`, list.cursor || list.truncated ? ", there are more" : ""),
        list.cursor && list.pages < MAX_PAGES && button({ label: "Show more", kind: "small", on: () => act.more(name) }),
      ),
  ];
}
