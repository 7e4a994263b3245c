// Calls, waiting ones first.

import { h } from "../dom.js";
import { waiting } from "../selectors.js";
import { commandButton, copyButton, elapsed, empty, heading, mark, table } from "./parts.js";

const PLACES = {
  ringing: ["warn", "Ringing"],
  parked: ["info", "Waiting"],
  acting: ["plain", "In actions"],
  joining: ["warn", "Joining …"],
  in_room: ["good", "In a room"],
  leaving: ["warn", "Leaving …"],
};

export function callsView({ state, now, act }) {
  const wait = waiting(state);
  const others = [...state.calls.values()]
    .filter((call) => call.state !== "parked" && call.state !== "ringing")
    .sort((a, b) => a.createdAt - b.createdAt || (a.uuid < b.uuid ? -1 : 1));
  return h(
    "div",
    { class: "page", key: "calls" },
    h("div", { class: "pane-head" }, heading(1, "Calls")),
    h("h2", null, wait.length === 0 ? "No calls are waiting" : wait.length === 1 ? "1 call is waiting" : `${wait.length} calls are waiting`),
    !state.loaded && empty("Loading …"),
    state.loaded && wait.length === 0 && empty("Parked calls are listed here. Join them to a room, or hang them up."),
    wait.length > 0 && calls("Waiting calls", wait, { state, now, act }),
    others.length > 0 && h("h2", { key: "others" }, "Other calls"),
    others.length > 0 && calls("Other calls", others, { state, now, act }),
  );
}

function calls(label, rows, { state, now, act }) {
  return table({
    label,
    kind: "calls",
    columns: [
      { title: "Caller" },
      { title: "Dialled" },
      { title: "Node", class: "mono" },
      { title: "State" },
      { title: "For", class: "number" },
      { title: "", class: "buttons" },
    ],
    rows: rows.map((call) => rowOf(call, { state, now, act })),
  });
}

function rowOf(call, { state, now, act }) {
  const command = (what, rest) => commandButton({ entry: state.pending.get(`${what}:${call.uuid}`), now, cancel: () => act.cancel(`${what}:${call.uuid}`), key: what, ...rest });
  const name = call.callerId || "(no caller id)";
  const free = call.state === "parked" || call.state === "ringing";
  const room = call.roomId && state.rooms.get(call.roomId);
  const [kind, word] = PLACES[call.state] ?? ["plain", call.state];
  return {
    key: call.uuid,
    attributes: { "data-session": call.uuid },
    cells: [
      h("span", { class: "with-copy" }, h("b", null, name), copyButton(call.uuid, `the call id of ${name}`, act), call.direction === "outbound" && h("span", { class: "muted" }, "outbound")),
      call.did || "–",
      call.node,
      [
        room ? h("a", { href: `#/rooms/${encodeURIComponent(room.id)}` }, room.name || "(no name)") : mark(kind, word),
        call.stale && mark("warn", "Out of date"),
      ],
      Number.isFinite(call.createdAt) ? h("time", { datetime: new Date(call.createdAt).toISOString(), title: `Since ${new Date(call.createdAt).toLocaleString()}` }, elapsed(now - call.createdAt)) : "–",
      h(
        "span",
        { class: "row-buttons" },
        free && command("join", { label: "Join …", name: `Join ${name} to a room`, kind: "small", busy: "Joining …", on: () => act.join(call) }),
        command("hangup", { label: "Hang up", name: `Hang up ${name}`, kind: "small danger", busy: "Ending …", on: () => act.hangup(call) }),
      ),
    ],
  };
}
