// The frame of every view: navigation, the signed-in user, the connection, notices.

import { h } from "../dom.js";
import { button, icon, span } from "./parts.js";

const THEMES = { auto: ["auto", "system"], light: ["sun", "light"], dark: ["moon", "dark"] };

/**
 * `places`: `[place, label, badge]`, with a badge `{n, words, kind}` or null. `who`: the signed-in user and the words that
 * explain it. `live`: the words while the connection works.
 */
export function shell({ state, route, now, theme, places, who, live, act }, view) {
  return [
    h("a", { href: "#main", class: "skip", key: "skip", on: { click: skip } }, "Skip to content"),
    h(
      "header",
      { class: "top", key: "top" },
      brand(),
      nav(places, route),
      h("div", { class: "side" }, linkMark(state, live), h("span", { class: "app", title: who.title }, who.name), themeButton(theme, act), signOut(act)),
    ),
    banner(state, now, act),
    notices(state, act),
    h("main", { id: "main", key: "main", tabindex: "-1" }, view),
  ];
}

function skip(event) {
  // The fragment of the URL is the route.
  event.preventDefault();
  document.getElementById("main").focus();
}

export function brand() {
  return h(
    "div",
    { class: "brand" },
    h(
      "svg",
      { class: "logo", viewBox: "0 0 24 24", "aria-hidden": "true" },
      h("path", { d: "M3 21V5.500L14 2.500v19Z" }),
      h("path", { d: "M14 5.500h7V21h-7", class: "thin" }),
      h("circle", { cx: "11", cy: "12.5", r: "1.2", class: "knob" }),
    ),
    h("span", null, "Roomkeeper"),
  );
}

function nav(places, route) {
  return h(
    "nav",
    { "aria-label": "Sections" },
    places.map(([place, label, badge]) =>
      h(
        "a",
        { href: `#/${place}`, "aria-current": route.place === place ? "page" : null },
        label,
        badge && h("span", { class: `badge ${badge.kind ?? ""}` }, badge.n, h("span", { class: "hidden" }, ` ${badge.words}`)),
      ),
    ),
  );
}

function linkMark({ link }, words) {
  const live = link.status === "open";
  return h("span", { class: `link ${live ? "live" : "off"}` }, h("span", { class: "dot", "aria-hidden": "true" }), live ? words : "Offline");
}

function themeButton(theme, act) {
  const [image, words] = THEMES[theme];
  return h(
    "button",
    { type: "button", class: "button icon-only", id: "theme", "aria-label": `Colours: ${words}. Change`, title: `Colours: ${words}`, on: { click: act.nextTheme } },
    icon(image),
  );
}

function signOut(act) {
  return h("button", { type: "button", class: "button icon-only", id: "sign-out", "aria-label": "Sign out", title: "Sign out", on: { click: act.signOut } }, icon("out"));
}

/** Shows the time since the connection was lost. A screen reader gets one announcement, from the live region. */
function banner({ link }, now, act) {
  if (!link.lost) return null;
  const next = link.retryAt ? Math.max(0, Math.ceil((link.retryAt - now) / 1000)) : 0;
  return h(
    "div",
    { class: "banner", key: "banner", role: "region", "aria-label": "Connection" },
    icon("warn"),
    h(
      "span",
      null,
      h("b", null, "Connection lost "),
      h("span", { class: "since" }, `${span(now - link.since)} ago. `),
      "The page may be out of date. ",
      link.error && h("span", { class: "why" }, `${link.error}. `),
      link.status === "connecting" ? "Reconnecting …" : next > 0 ? `Next attempt in ${next} s.` : "Reconnecting …",
    ),
    button({ label: "Try now", kind: "small", disabled: link.status === "connecting", on: act.retryNow }),
  );
}

function notices({ notices: all }, act) {
  return h(
    "div",
    { class: "notices", key: "notices", role: "alert", "aria-relevant": "additions" },
    all.map((notice) =>
      h(
        "div",
        { class: `notice ${notice.kind}`, key: `n${notice.id}` },
        icon("warn"),
        h("span", { class: "notice-text" }, notice.text),
        h("button", { type: "button", class: "button icon-only", "aria-label": "Dismiss", on: { click: () => act.closeNotice(notice.id) } }, icon("close")),
      ),
    ),
  );
}
