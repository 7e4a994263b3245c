// All nodes: their state, draining and resyncs, and the orphans on them.

import { h } from "../dom.js";
import { load } from "../views/nodes.js";
import { clock, commandButton, copyButton, empty, failure, heading, mark, since, table } from "../views/parts.js";
import { orphanCount } from "./state.js";

const LINKS = { up: ["good", "Up"], down: ["bad", "Down"], connecting: ["warn", "Connecting"] };

export function nodesView({ state, now, act }) {
  const { rows, at, error } = state.nodes;
  return h(
    "div",
    { class: "page", key: "nodes" },
    h("div", { class: "pane-head" }, heading(1, "Nodes"), at && h("span", { class: "muted" }, "updated ", since(at, now, " ago"))),
    error && failure(error, act.retryNow),
    !rows && !error && empty("Loading …"),
    rows?.length === 0 && empty("No nodes are configured."),
    rows?.length > 0 &&
      table({
        label: "Nodes",
        kind: "all-nodes",
        columns: [{ title: "Node", class: "mono" }, { title: "State" }, { title: "Load" }, { title: "Lag", class: "number" }, { title: "Drift", class: "number" }, { title: "Resynced" }, { title: "", class: "buttons" }],
        rows: rows.map((node) => ({ key: node.id, attributes: { "data-node": node.id }, cells: cellsOf(node, { state, now, act }) })),
      }),
    orphansOf(state, now, act),
  );
}

function cellsOf(node, { state, now, act }) {
  const [kind, word] = LINKS[node.link] ?? ["plain", node.link];
  const command = (what, rest) => {
    const key = `${what}:${node.id}`;
    return commandButton({ entry: state.pending.get(key), now, cancel: () => act.cancel(key), kind: "small", key: what, ...rest });
  };
  return [
    h("b", null, node.id),
    h(
      "span",
      { class: "marks" },
      mark(kind, word, { key: "link" }),
      node.link === "up" && !node.synced && mark("warn", "Not resynced yet", { key: "synced" }),
      node.draining && mark("warn", "Draining", { title: "The node gets no new rooms", key: "draining" }),
      node.owned_elsewhere && mark("plain", "Other replica", { title: "Another replica owns the node", key: "owner" }),
      node.reason && h("span", { class: "late reason", key: "reason" }, node.reason),
    ),
    load(node),
    node.lag_ms === null ? "–" : `${node.lag_ms} ms`,
    String(node.drift),
    node.resynced_at ? clock(node.resynced_at) : "never",
    h(
      "span",
      { class: "row-buttons" },
      command("drain", { label: node.draining ? "Undrain" : "Drain", name: `${node.draining ? "Undrain" : "Drain"} ${node.id}`, busy: "Saving …", on: () => act.drain(node, !node.draining) }),
      command("resync", { label: "Resync", name: `Resync ${node.id}`, busy: "Resyncing …", disabled: node.link !== "up", title: node.link === "up" ? null : "The node is not up", on: () => act.resync(node) }),
    ),
  ];
}

function orphansOf({ orphans }, now, act) {
  const { nodes, records, error } = orphans;
  const none = nodes && orphanCount(orphans) === 0;
  return h(
    "section",
    { class: "orphans", "aria-label": "Orphans", key: "orphans" },
    heading(2, "Orphans"),
    h("p", { class: "hint" }, "Conferences, calls and records that belong to no app, as of each node's last snapshot."),
    error && failure(error, act.retryNow),
    none && empty("There are none."),
    nodes && !none && h("ul", { class: "orphan-list", role: "list" }, nodes.flatMap((node) => orphansOfNode(node, now, act)), records.map((record) => recordItem(record, "–"))),
  );
}

function orphansOfNode(node, now, act) {
  const rest = (kind, shown, total) => total > shown.length && item(`${kind}-more-${node.id}`, node.id, kind, `and ${total - shown.length} more`);
  return [
    node.conferences.map((one) =>
      item(`c-${one.conference_id}`, node.id, "Conference", one.name, [`${one.kind}, ${one.members === 1 ? "1 member" : `${one.members} members`}, for `, since(Date.parse(one.since), now)]),
    ),
    rest("Conference", node.conferences, node.conferences_total),
    node.calls.map((one) =>
      item(`s-${one.uuid}`, node.id, "Call", h("span", { class: "with-copy" }, `${one.caller_id || "(no caller id)"} to ${one.did || "–"}`, copyButton(one.uuid, `the call id of ${one.caller_id}`, act)), [
        one.app ? `its app ${one.app} does not exist` : "its number belongs to no app",
        one.since && [", for ", since(Date.parse(one.since), now)],
      ]),
    ),
    rest("Call", node.calls, node.calls_total),
    node.records.map((record) => recordItem(record, node.id)),
    rest("Record", node.records, node.records_total),
  ];
}

const recordItem = (record, node) => item(`r-${record.key}`, node, "Record", h("span", { class: "mono id" }, record.key), record.why);

function item(key, node, kind, name, about = null) {
  return h("li", { key, class: "orphan" }, h("span", { class: "mono" }, node), mark("warn", kind), h("span", null, name), h("span", { class: "muted" }, about));
}
