// The deliveries of a webhook endpoint, each with its attempts and body.

import { h } from "../dom.js";
import { button, clock, copyButton, empty, failure, heading, mark } from "./parts.js";

const STATUSES = { pending: ["warn", "Pending"], delivered: ["good", "Delivered"], dead: ["bad", "Dead"] };
const FILTERS = [["", "All"], ["pending", "Pending"], ["delivered", "Delivered"], ["dead", "Dead"]];

export function deliveriesOf(hook, state, act) {
  const { of, status, rows, cursor, error } = state.deliveries;
  const mine = of === hook.id ? rows : null;
  return h(
    "section",
    { class: "deliveries", "aria-label": "Deliveries", key: hook.id },
    h(
      "div",
      { class: "pane-head" },
      heading(2, "Deliveries"),
      h(
        "div",
        { class: "choices", role: "group", "aria-label": "Filter deliveries" },
        FILTERS.map(([value, label]) =>
          h("button", { type: "button", class: "choice", "aria-pressed": String(status === value), on: { click: () => act.chooseDeliveries(hook.id, value) } }, label),
        ),
      ),
    ),
    error && failure(error, () => act.chooseDeliveries(hook.id, status)),
    !mine && !error && empty("Loading …"),
    mine?.length === 0 && empty("No deliveries."),
    mine && h("ul", { class: "delivery-list", role: "list" }, mine.map((one) => delivery(hook, one, state, act))),
    mine && cursor && button({ label: "Earlier deliveries", on: () => act.moreDeliveries(hook.id), key: "more" }),
  );
}

function delivery(hook, one, state, act) {
  const [kind, word] = STATUSES[one.status] ?? ["plain", one.status];
  const about = one.session_uuid ?? one.room_id ?? "";
  const tries = one.attempts.length;
  const opened = (event) => event.currentTarget.open && act.readBody(hook.id, one.id);
  return h(
    "li",
    { key: one.id, class: "delivery", "data-delivery": one.id },
    h("span", { class: "delivery-what" }, h("b", null, one.event), h("span", { class: "muted mono id" }, about)),
    mark(kind, word),
    h("span", { class: "muted delivery-when" }, clock(one.created_at)),
    h(
      "span",
      { class: "row-buttons" },
      button({
        label: "Send again",
        name: `Send ${one.event} again`,
        kind: "small",
        pending: state.pending.has(`send:${one.id}`) ? "Sending …" : null,
        disabled: !hook.enabled,
        title: hook.enabled ? null : "The endpoint is disabled",
        on: () => act.sendAgain(hook.id, one),
      }),
    ),
    h(
      "details",
      { class: "attempts", on: { toggle: opened } },
      h("summary", null, tries === 0 ? "No attempts yet" : tries === 1 ? "1 attempt" : `${tries} attempts`, ", body"),
      h("ol", { class: "attempt-list" }, one.attempts.map(attempt)),
      h("p", { class: "muted with-copy" }, h("span", { class: "mono id" }, one.id), copyButton(one.id, `the id of ${one.event}`, act)),
      body(state.bodies.get(one.id), one, act),
    ),
  );
}

function attempt({ at, status, error, ms }) {
  const good = status !== null && status >= 200 && status < 300;
  return h(
    "li",
    { class: good ? "" : "late" },
    clock(at),
    ` ${status === null ? error ?? "no response" : `answered ${status}`}${status !== null && error ? `: ${error}` : ""} after ${ms} ms`,
  );
}

/** The body as JSON, read when the delivery is opened. */
function body(read, one, act) {
  if (!read) return h("p", { class: "hint" }, "Loading the body …");
  if (read.error) return h("p", { class: "late" }, `Cannot read the body: ${read.error}`);
  return h("div", { class: "body" }, h("pre", { class: "mono", tabindex: "0", "aria-label": `Body of ${one.event}` }, read.text), copyButton(read.text, `the body of ${one.event}`, act));
}
