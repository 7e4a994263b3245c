// All apps.

import { h } from "../dom.js";
import { clock, commandButton, copyButton, empty, failure, heading, mark, table } from "../views/parts.js";

export function appsView({ state, now, act }) {
  const { rows, error } = state.apps;
  return h(
    "div",
    { class: "page", key: "apps" },
    h("div", { class: "pane-head" }, heading(1, "Apps")),
    error && failure(error, act.retryNow),
    !rows && !error && empty("Loading …"),
    rows?.length === 0 && empty("There are no apps."),
    rows?.length > 0 &&
      table({
        label: "Apps",
        kind: "all-apps",
        columns: [{ title: "App" }, { title: "State" }, { title: "Numbers" }, { title: "Keys", class: "number" }, { title: "Rate limit", class: "number" }, { title: "Created" }, { title: "Show" }, { title: "", class: "buttons" }],
        rows: rows.map((app) => ({ key: app.app_id, attributes: { "data-app": app.app_id }, cells: cellsOf(app, { state, now, act }) })),
      }),
  );
}

function cellsOf(app, { state, now, act }) {
  const key = `disable:${app.app_id}`;
  const verb = app.disabled ? "Enable" : "Disable";
  const show = (place, label) => h("a", { href: `#/${place}`, on: { click: () => act.filter(place, { app_id: app.app_id }) }, "aria-label": `${label} of ${app.app_id}` }, label);
  return [
    h("span", { class: "with-copy" }, h("b", null, app.app_id), copyButton(app.customer_id, `the customer id of ${app.app_id}`, act)),
    h("span", { class: "marks" }, app.disabled ? mark("bad", "Disabled") : mark("good", "Enabled"), app.configured && mark("plain", "Configured", { title: "Only the configuration can change it" })),
    app.dids.length === 0 ? "–" : app.dids.join(", "),
    String(app.active_keys),
    app.rate_limit === null || app.rate_limit === undefined ? "default" : `${app.rate_limit}/s`,
    app.created_at ? clock(app.created_at) : "–",
    h("span", { class: "links" }, show("rooms", "Rooms"), show("calls", "Calls"), show("audit", "Audit")),
    commandButton({
      entry: state.pending.get(key),
      busy: "Saving …",
      now,
      cancel: () => act.cancel(key),
      label: verb,
      name: `${verb} ${app.app_id}`,
      kind: app.disabled ? "small" : "small danger",
      disabled: app.configured,
      title: app.configured ? "The app is part of the configuration" : null,
      key: "disable",
      on: () => (app.disabled ? act.enableApp(app) : act.disableApp(app)),
    }),
  ];
}
