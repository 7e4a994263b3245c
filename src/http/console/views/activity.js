// The log of a room, latest first.

import { h } from "../dom.js";
import { heading } from "./parts.js";

export function activityLog(entries) {
  return h(
    "section",
    { class: "activity", "aria-labelledby": "activity-title", key: "activity" },
    heading(3, "Activity", { id: "activity-title" }),
    entries.length === 0 && h("p", { class: "hint" }, "Nothing has happened since this page was opened."),
    h("ol", { class: "activity-list", reversed: true, tabindex: entries.length > 0 ? "0" : null, "aria-labelledby": "activity-title" }, [...entries].reverse().map(entryItem)),
  );
}

function entryItem({ n, at, who, text, by, found }) {
  const time = new Date(at);
  return h(
    "li",
    { key: n, class: "activity-entry" },
    h("time", { class: "muted", datetime: time.toISOString(), title: time.toLocaleString() }, time.toLocaleTimeString()),
    h(
      "span",
      null,
      who && h("b", null, who),
      `${who ? " " : ""}${text}`,
      by && h("span", { class: "muted" }, `, by ${by}`),
      found && h("span", { class: "muted", title: "No event reported it" }, ", found by a snapshot"),
    ),
  );
}
