// The list of rooms, and the selected room beside it.

import { h } from "../dom.js";
import { counts, inOrder, lastActive, roomsByActivity, roomsByName, talkers } from "../selectors.js";
import { button, empty, heading, icon, mark, since } from "./parts.js";
import { roomView } from "./room.js";

/** A filter is shown above this number of rooms. */
const MANY = 8;

export function roomsView({ state, route, now, act, list }) {
  const rooms = inOrder(list.sort === "name" ? roomsByName(state) : roomsByActivity(state), list.order);
  const wanted = list.filter.trim().toLowerCase();
  const shown = wanted ? rooms.filter((room) => `${room.name} ${room.node} ${room.id}`.toLowerCase().includes(wanted)) : rooms;
  const many = counts(state);
  const talking = talkers(state);
  return h(
    "div",
    { class: `split${route.id ? " with-detail" : ""}`, key: "rooms" },
    h(
      "section",
      { class: "list-pane", "aria-label": "Rooms" },
      h(
        "div",
        { class: "pane-head" },
        heading(1, "Rooms"),
        button({ label: "New room", icon: "plus", kind: "primary", on: act.createRoom, id: "new-room" }),
      ),
      rooms.length > 1 && listTools(rooms, list, act),
      state.cut && h("p", { class: "hint" }, "Only the first 5,000 rooms and calls are shown."),
      !state.loaded && empty("Loading …"),
      state.loaded && rooms.length === 0 && empty("There are no rooms yet."),
      state.loaded && rooms.length > 0 && shown.length === 0 && empty("No room matches."),
      h(
        "ul",
        // Nothing moves under the pointer or the focus.
        { class: "rooms", role: "list", key: "list", on: holding(() => act.holdOrder(rooms.map((room) => room.id)), () => act.holdOrder(null)) },
        shown.map((room) => roomItem(room, { members: many.get(room.id) ?? 0, talking: talking.get(room.id) ?? 0, chosen: room.id === route.id, state, now })),
      ),
    ),
    route.id && h("section", { class: "detail-pane", "aria-label": "Selected room", key: "detail" }, roomView({ state, id: route.id, now, act, count: many.get(route.id) ?? 0 })),
  );
}

function holding(hold, release) {
  return {
    pointerenter: hold,
    focusin: hold,
    pointerleave: (event) => event.currentTarget.contains(document.activeElement) || release(),
    focusout: (event) => event.currentTarget.matches(":hover") || event.currentTarget.contains(event.relatedTarget) || release(),
  };
}

function listTools(rooms, list, act) {
  return h(
    "div",
    { class: "list-tools", key: "tools" },
    rooms.length > MANY &&
      h("input", {
        class: "filter",
        type: "search",
        key: "filter",
        placeholder: "Find a room",
        "aria-label": "Find a room by name, node or id",
        value: list.filter,
        on: { input: (event) => act.filter(event.target.value) },
      }),
    h(
      "div",
      { class: "choices", role: "group", "aria-label": "Order of the rooms", key: "sort" },
      [
        ["activity", "By activity"],
        ["name", "By name"],
      ].map(([value, label]) => h("button", { type: "button", class: "choice", "aria-pressed": String(list.sort === value), on: { click: () => act.sortRooms(value) } }, label)),
    ),
  );
}

function roomItem(room, { members, talking, chosen, state, now }) {
  return h(
    "li",
    { key: room.id },
    h(
      "a",
      { href: `#/rooms/${encodeURIComponent(room.id)}`, class: "room", "aria-current": chosen ? "true" : null },
      h("span", { class: "room-name" }, room.name || "(no name)"),
      h("span", { class: "room-count" }, h("b", null, members), members === 1 ? " member" : " members"),
      h(
        "span",
        { class: "room-marks" },
        talking > 0 && mark("good", `${talking} talking`, { icon: "mic", key: "talking" }),
        marksOf(room, state),
      ),
      h("span", { class: "room-facts muted" }, h("span", { class: "mono" }, room.node), h("span", { title: "Time since the last event" }, since(lastActive(state, room), now, " ago"))),
    ),
  );
}

export function marksOf(room, state) {
  return [
    room.locked && mark("plain", "Locked", { icon: "lock", key: "locked" }),
    room.waiting && mark("warn", "Waiting for moderator", { title: "Nobody hears anybody yet", key: "waiting" }),
    room.playing && mark("info", room.playing.status === "paused" ? "Paused" : "Playing", { icon: room.playing.status === "paused" ? "pause" : "play", key: "playing" }),
    room.recording && mark("bad", room.recording === "recording" ? "Recording" : `Recording ${room.recording}`, { icon: "record", key: "recording" }),
    room.stale && mark("warn", "Out of date", { title: "The node is not connected", key: "stale" }),
    state.pending.has(`delete:${room.id}`) && mark("warn", "Ending …", { key: "ending" }),
  ];
}

export const backLink = (href, label) => h("a", { href, class: "back", key: "back" }, icon("back"), label);
