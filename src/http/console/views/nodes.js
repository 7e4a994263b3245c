// Nodes and their state.

import { h } from "../dom.js";
import { counts } from "../selectors.js";
import { clock, empty, failure, heading, mark, since, table } from "./parts.js";

const STATES = { up: ["good", "Up"], down: ["bad", "Down"], connecting: ["warn", "Connecting"] };

/** A node whose events arrive later than this is behind. */
const LATE_MS = 1000;

export function nodesView({ state, now, act }) {
  const { rows, at, error } = state.nodes;
  const many = counts(state);
  const rooms = new Map();
  for (const room of state.rooms.values()) {
    const found = rooms.get(room.node) ?? { rooms: 0, members: 0 };
    rooms.set(room.node, { rooms: found.rooms + 1, members: found.members + (many.get(room.id) ?? 0) });
  }
  return h(
    "div",
    { class: "page", key: "nodes" },
    h("div", { class: "pane-head" }, heading(1, "Nodes"), at && h("span", { class: "muted" }, "updated ", since(at, now, " ago"))),
    error && failure(error, act.readNodes),
    !rows && !error && empty("Loading …"),
    rows?.length === 0 && empty("No nodes are configured."),
    rows?.length > 0 &&
      table({
        label: "Nodes",
        kind: "nodes",
        columns: [
          { title: "Node", class: "mono" },
          { title: "State" },
          { title: "Load" },
          { title: "Your rooms", class: "number" },
          { title: "Lag", class: "number" },
          { title: "Drift", class: "number" },
          { title: "Resynced" },
        ],
        rows: rows.map((node) => ({ key: node.id, cells: cellsOf(node, rooms.get(node.id)) })),
      }),
    h(
      "p",
      { class: "hint" },
      "Load: calls of all apps on the node. Lag: delay of its events. Drift: differences that snapshots of FreeSWITCH revealed.",
    ),
  );
}

function cellsOf(node, own) {
  const [kind, word] = STATES[node.state] ?? ["plain", node.state];
  const late = node.lag_ms !== null && node.lag_ms > LATE_MS;
  return [
    h("b", null, node.id),
    h(
      "span",
      { class: "marks" },
      mark(kind, word),
      node.state === "up" && !node.synced && mark("warn", "Not resynced yet"),
      node.draining && mark("warn", "Draining", { title: "The node gets no new rooms" }),
    ),
    load(node),
    own ? `${own.rooms} (${own.members} ${own.members === 1 ? "member" : "members"})` : "–",
    node.lag_ms === null ? "–" : h("span", { class: late ? "late" : "" }, `${node.lag_ms} ms`),
    String(node.drift),
    node.resynced_at ? clock(node.resynced_at) : "never",
  ];
}

export function load({ id, calls, max_calls: most }) {
  if (!most) return `${calls} calls`;
  const part = Math.min(1, calls / most);
  return h(
    "span",
    { class: `load${part > 0.9 ? " full" : ""}` },
    h("span", { class: "bar", style: { "--part": part }, role: "img", "aria-label": `Load of ${id}: ${Math.round(part * 100)} %` }),
    h("span", null, `${calls} of ${most}`),
  );
}
