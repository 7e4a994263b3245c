// Webhook endpoints and their deliveries.

import { h } from "../dom.js";
import { button, clock, empty, failure, heading, mark } from "./parts.js";

const STATUSES = { pending: ["warn", "Pending"], delivered: ["good", "Delivered"], dead: ["bad", "Dead"] };
const FILTERS = [["", "All"], ["pending", "Pending"], ["delivered", "Delivered"], ["dead", "Dead"]];
const REASONS = { owner: "by its owner", gone: "it answered 410", failing: "no delivery succeeded for five days" };

export function webhooksView({ state, route, act }) {
  const { rows, error } = state.hooks;
  const chosen = rows?.find((hook) => hook.id === route.id);
  return h(
    "div",
    { class: `page hooks${route.id ? " with-detail" : ""}`, key: "webhooks" },
    h("div", { class: "pane-head" }, heading(1, "Webhooks")),
    error && failure(error, act.readHooks),
    !rows && !error && empty("Loading …"),
    rows?.length === 0 && empty("The app has no webhook endpoints."),
    h("ul", { class: "endpoints", role: "list", key: "list" }, (rows ?? []).map((hook) => endpoint(hook, hook.id === route.id))),
    route.id && rows && !chosen && empty("The endpoint no longer exists."),
    chosen && deliveries(chosen, state.deliveries, state, act),
  );
}

function endpoint(hook, chosen) {
  return h(
    "li",
    { key: hook.id },
    h(
      "a",
      { href: `#/webhooks/${encodeURIComponent(hook.id)}`, class: "endpoint", "aria-current": chosen ? "true" : null },
      h("span", { class: "mono url" }, hook.url),
      h(
        "span",
        { class: "marks" },
        hook.enabled ? null : mark("bad", `Disabled: ${REASONS[hook.disabled_reason] ?? hook.disabled_reason}`),
        hook.failing_since && mark("bad", ["Failing since ", clock(hook.failing_since)]),
        hook.enabled && !hook.failing_since && mark("good", "Working"),
      ),
      h(
        "span",
        { class: "facts muted" },
        h("span", null, hook.events.includes("*") ? "all events" : hook.events.join(", ")),
        hook.pending !== undefined && h("span", null, h("b", null, hook.pending), " pending"),
        hook.dead !== undefined && h("span", { class: hook.dead > 0 ? "late" : "" }, h("b", null, hook.dead), " dead"),
        hook.lost > 0 && h("span", { class: "late" }, h("b", null, hook.lost), " lost"),
      ),
    ),
  );
}

function deliveries(hook, { of, status, rows, cursor, error }, state, act) {
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
  const key = `send:${one.id}`;
  const about = one.session_uuid ?? one.room_id ?? "";
  const tries = one.attempts.length;
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
        pending: state.pending.has(key) ? "Sending …" : null,
        disabled: !hook.enabled,
        title: hook.enabled ? null : "The endpoint is disabled",
        on: () => act.sendAgain(hook.id, one),
      }),
    ),
    h(
      "details",
      { class: "attempts" },
      h("summary", null, tries === 0 ? "No attempts yet" : tries === 1 ? "1 attempt" : `${tries} attempts`),
      tries === 0 ? null : h("ol", { class: "attempt-list" }, one.attempts.map(attempt)),
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
