// All calls, with a search by number.

import { h } from "../dom.js";
import { button, clock, copyButton, heading, mark, table } from "../views/parts.js";
import { CALL_STATES, appChoice, choice, filters, listOf, nodeChoice, text } from "./parts.js";
import { age, hangupButton } from "./rooms.js";
import { isFound, isSearch, shownCalls } from "./state.js";

export function callsView(props) {
  const { state, act } = props;
  const given = state.filters.calls;
  const states = Object.entries(CALL_STATES).map(([value, [, label]]) => [value, label.replace(" …", "")]);
  return h(
    "div",
    { class: "page", key: "calls" },
    h(
      "div",
      { class: "pane-head" },
      heading(1, "Calls"),
      filters(
        "Filter calls",
        text({ id: "calls-number", label: "Number", value: given.number, placeholder: "Caller or dialled number", on: (number) => act.filter("calls", { number }, true) }),
        appChoice("calls", state, act),
        nodeChoice("calls", state, act),
        choice({ id: "calls-state", label: "State", value: given.state, options: [["", "All states"], ...states], on: (value) => act.filter("calls", { state: value }) }),
      ),
    ),
    isSearch(given) && searchAge(state, act),
    listOf({
      name: "calls",
      state,
      act,
      rows: shownCalls(state),
      none: given.number.trim() ? "No call with this number." : "No calls match.",
      show: (rows) =>
        table({
          label: "Calls",
          kind: "all-calls",
          columns: [{ title: "Caller" }, { title: "Dialled" }, { title: "App" }, { title: "Node", class: "mono" }, { title: "State" }, { title: "Age", class: "number" }, { title: "", class: "buttons" }],
          rows: rows.map((call) => ({ key: call.uuid, attributes: { "data-session": call.uuid }, cells: cellsOf(call, props) })),
        }),
    }),
  );
}

/** The time of a search, which is not repeated by itself. */
function searchAge(state, act) {
  const found = isFound(state, "calls");
  const { at } = state.lists.calls;
  return h(
    "p",
    { class: "list-end muted", key: "search" },
    h("span", null, found && at !== null ? ["Found at ", clock(new Date(at).toISOString())] : "Searching …"),
    button({ label: "Search again", kind: "small", disabled: !found, on: () => act.filter("calls", {}) }),
  );
}

function cellsOf(call, { state, now, act }) {
  const [kind, word] = CALL_STATES[call.state] ?? ["plain", call.state];
  const name = call.caller_id || "(no caller id)";
  return [
    h("span", { class: "with-copy" }, h("b", null, name), copyButton(call.uuid, `the call id of ${name}`, act), call.direction === "outbound" && h("span", { class: "muted" }, "outbound")),
    call.did || "–",
    call.app_id ?? "–",
    call.node,
    h("span", { class: "marks" }, mark(kind, word), call.stale && mark("warn", "Out of date", { title: "The node is not connected", key: "stale" }), call.room_id && h("a", { href: `#/rooms/${encodeURIComponent(call.room_id)}`, "aria-label": `Room of ${name}` }, "Room")),
    age(call.created_at, now),
    hangupButton(call, state, now, act),
  ];
}
