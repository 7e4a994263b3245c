// The audit log, latest first.

import { h } from "../dom.js";
import { clock, copyButton, heading, mark } from "../views/parts.js";
import { appChoice, filters, listOf, text } from "./parts.js";

export function auditView({ state, act }) {
  const given = state.filters.audit;
  const field = (id, label, more = {}) => text({ id: `audit-${id}`, label, value: given[id], on: (value) => act.filter("audit", { [id]: value }, true), ...more });
  return h(
    "div",
    { class: "page", key: "audit" },
    h(
      "div",
      { class: "pane-head" },
      heading(1, "Audit log"),
      filters(
        "Filter the audit log",
        appChoice("audit", state, act),
        field("action", "Action", { placeholder: "rooms.delete, apps.*" }),
        field("actor", "Actor", { placeholder: "operator, or an app" }),
        field("since", "Since", { type: "datetime-local" }),
        field("until", "Until", { type: "datetime-local" }),
      ),
    ),
    listOf({
      name: "audit",
      state,
      act,
      none: "No entries match.",
      show: (rows) => h("ul", { class: "entries", role: "list" }, rows.map((entry) => entryItem(entry, act))),
    }),
  );
}

function entryItem(entry, act) {
  const good = entry.result === "accepted";
  const { kind, id } = entry.actor;
  return h(
    "li",
    { key: entry.id, class: "entry", "data-entry": entry.id },
    h("span", { class: "muted entry-time" }, clock(entry.at)),
    h("span", { class: "entry-actor" }, h("b", null, id), kind !== id && h("span", { class: "muted" }, ` ${kind}`)),
    h("span", { class: "entry-what" }, h("b", null, entry.action), h("span", { class: "muted mono id" }, entry.target)),
    h("span", { class: "muted" }, entry.app_id ?? ""),
    h("span", { class: "entry-result" }, mark(good ? "good" : "bad", `${entry.result}, ${entry.status}`)),
    h(
      "details",
      null,
      h("summary", null, "Details"),
      h(
        "dl",
        null,
        fact("Error", entry.error),
        fact("Client", entry.client),
        fact("Request", entry.request_id && h("span", { class: "with-copy" }, h("span", { class: "mono" }, entry.request_id), copyButton(entry.request_id, "the request id", act))),
        fact("Target", entry.target && h("span", { class: "with-copy" }, h("span", { class: "mono id" }, entry.target), copyButton(entry.target, "the target", act))),
      ),
      entry.details && h("pre", { class: "mono", tabindex: "0", "aria-label": `Details of ${entry.action}` }, JSON.stringify(entry.details, null, 2)),
    ),
  );
}

const fact = (name, value) => value && h("div", null, h("dt", { class: "muted" }, name), h("dd", null, value));
