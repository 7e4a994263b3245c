// Webhook endpoints.

import { h } from "../dom.js";
import { deliveriesOf } from "./deliveries.js";
import { button, clock, copyButton, empty, failure, heading, mark } from "./parts.js";

const REASONS = { owner: "by its owner", gone: "it answered 410", failing: "no delivery succeeded for five days" };

export function webhooksView({ state, route, act }) {
  const { rows, error } = state.hooks;
  const chosen = rows?.find((hook) => hook.id === route.id);
  return h(
    "div",
    { class: `page hooks${route.id ? " with-detail" : ""}`, key: "webhooks" },
    h(
      "div",
      { class: "pane-head" },
      heading(1, "Webhooks"),
      button({ label: "Add endpoint", icon: "plus", kind: "primary", on: act.addHook, id: "add-hook" }),
    ),
    error && failure(error, act.readHooks),
    !rows && !error && empty("Loading …"),
    rows?.length === 0 && empty("The app has no webhook endpoints."),
    h("ul", { class: "endpoints", role: "list", key: "list" }, (rows ?? []).map((hook) => endpoint(hook, hook.id === route.id))),
    route.id && rows && !chosen && empty("The endpoint no longer exists."),
    chosen && endpointTools(chosen, state, act),
    chosen && deliveriesOf(chosen, state, act),
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
        hook.last_success_at && h("span", null, "last success ", clock(hook.last_success_at)),
        hook.configured && h("span", null, "in the configuration"),
      ),
    ),
  );
}

/** The buttons of the selected endpoint. One of the configuration can only be enabled and disabled. */
function endpointTools(hook, state, act) {
  const pending = (what) => state.pending.has(`${what}:${hook.id}`);
  const fixed = hook.configured ? "The endpoint is part of the configuration" : null;
  return h(
    "section",
    { class: "endpoint-tools", "aria-label": "Selected endpoint", key: `tools-${hook.id}` },
    h("p", { class: "muted with-copy" }, h("span", { class: "mono id" }, hook.id), copyButton(hook.id, "the endpoint's id", act), h("span", { class: "mono id url" }, hook.url), copyButton(hook.url, "the URL", act)),
    h(
      "div",
      { class: "controls", role: "group", "aria-label": "Controls of the endpoint" },
      button({ label: "Send a test", disabled: !hook.enabled, title: hook.enabled ? null : "The endpoint is disabled", pending: pending("test") && "Sending …", key: "test", on: () => act.testHook(hook) }),
      button({
        label: hook.enabled ? "Disable" : "Enable",
        pending: pending("enable") && (hook.enabled ? "Disabling …" : "Enabling …"),
        key: "enable",
        on: () => act.enableHook(hook, !hook.enabled),
      }),
      button({ label: "Change …", disabled: hook.configured, title: fixed, key: "change", on: () => act.changeHook(hook) }),
      button({ label: "Rotate secret …", disabled: hook.configured, title: fixed, key: "rotate", on: () => act.rotateSecret(hook) }),
      button({ label: "Recover …", disabled: !hook.enabled, title: "Send again what was given up", key: "recover", on: () => act.recoverHook(hook) }),
      button({ label: "Remove", kind: "danger", disabled: hook.configured, title: fixed, key: "remove", on: () => act.removeHook(hook) }),
    ),
  );
}
