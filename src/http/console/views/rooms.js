// Rooms, and the selected room with its members.

import { h } from "../dom.js";
import { MEMBER_FLAGS, pendingKey } from "../flags.js";
import { counts } from "../state.js";
import { button, empty, failure, heading, icon, mark, since } from "./parts.js";

export function roomsView({ state, route, now, act }) {
  const many = counts(state);
  const rooms = [...state.rooms.values()].sort((a, b) => a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1));
  const wanted = route.filter.trim().toLowerCase();
  const shown = wanted ? rooms.filter((room) => `${room.name} ${room.node}`.toLowerCase().includes(wanted)) : rooms;
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
      rooms.length > 8 &&
        h("input", {
          class: "filter",
          type: "search",
          key: "filter",
          placeholder: "Find a room",
          "aria-label": "Find a room by name or node",
          on: { input: (event) => act.filter(event.target.value) },
        }),
      state.cut && h("p", { class: "hint" }, "Only the first 5,000 rooms and calls are shown."),
      !state.loaded && empty("Loading …"),
      state.loaded && rooms.length === 0 && empty("There are no rooms yet."),
      state.loaded && rooms.length > 0 && shown.length === 0 && empty("No room matches."),
      h(
        "ul",
        { class: "rooms", role: "list", key: "list" },
        shown.map((room) => roomItem(room, many.get(room.id) ?? 0, room.id === route.id, state)),
      ),
    ),
    h(
      "section",
      { class: "detail-pane", "aria-label": "Selected room", key: "detail" },
      route.id ? detail({ state, id: route.id, now, act, count: many.get(route.id) ?? 0 }) : state.loaded && rooms.length > 0 && empty("Select a room to see its members."),
    ),
  );
}

function roomItem(room, members, chosen, state) {
  return h(
    "li",
    { key: room.id },
    h(
      "a",
      { href: `#/rooms/${encodeURIComponent(room.id)}`, class: "room", "aria-current": chosen ? "true" : null },
      h("span", { class: "room-name" }, room.name || "(no name)"),
      h("span", { class: "room-count" }, h("b", null, members), members === 1 ? " member" : " members"),
      h("span", { class: "room-marks" }, h("span", { class: "muted mono" }, room.node), marksOf(room, state)),
    ),
  );
}

function marksOf(room, state) {
  return [
    room.locked && mark("plain", "Locked", { icon: "lock", key: "locked" }),
    room.playing && mark("info", room.playing.status === "paused" ? "Paused" : "Playing", { icon: "play", key: "playing" }),
    room.recording && mark("bad", room.recording === "recording" ? "Recording" : `Recording ${room.recording}`, { icon: "record", key: "recording" }),
    room.stale && mark("warn", "Out of date", { title: "The node is not connected", key: "stale" }),
    state.pending.has(`delete:${room.id}`) && mark("warn", "Ending …", { key: "ending" }),
  ];
}

function detail({ state, id, now, act, count }) {
  const room = state.rooms.get(id);
  const back = h("a", { href: "#/rooms", class: "back", key: "back" }, icon("back"), "All rooms");
  if (!room) {
    return h("div", { key: `no-${id}` }, back, state.loaded ? empty("This room has ended.") : empty("Loading …"));
  }
  const members = state.members.get(id);
  return h(
    "div",
    { key: id, class: "detail" },
    back,
    h(
      "div",
      { class: "pane-head" },
      h("div", { class: "title" }, heading(2, room.name || "(no name)"), h("div", { class: "marks", "aria-live": "polite" }, marksOf(room, state))),
      button({ label: "Delete", name: `Delete room ${room.name}`, kind: "danger", pending: state.pending.has(`delete:${id}`) ? "Ending …" : null, on: () => act.deleteRoom(room, count) }),
    ),
    h(
      "p",
      { class: "muted facts" },
      h("span", null, "Node ", h("b", { class: "mono" }, room.node)),
      h("span", null, "Created ", since(room.createdAt, now, " ago")),
      h("span", { class: "mono id", title: "The room's id" }, room.id),
    ),
    controls(room, state, act, count),
    room.playing && nowPlaying(room.playing),
    h("h3", { id: "members-title" }, count === 1 ? "1 member" : `${count} members`),
    state.membersError === id && failure("Cannot read the members.", () => act.readRoom(id)),
    !members && state.membersError !== id && empty("Loading …"),
    members?.size === 0 && empty("The room is empty. ", h("a", { href: "#/calls" }, "Join a waiting call.")),
    members && members.size > 0 && memberList(room, members, state, act),
  );
}

function controls(room, state, act, count) {
  const pending = (what) => state.pending.get(`${what}:${room.id}`);
  const lock = pending("lock");
  const record = pending("record");
  const isEmpty = count === 0;
  const why = isEmpty ? "The room is empty" : null;
  return h(
    "div",
    { class: "controls", role: "group", "aria-label": `Controls of ${room.name}` },
    button({
      label: room.locked ? "Unlock" : "Lock",
      icon: room.locked ? "unlock" : "lock",
      pending: lock && (lock.want ? "Locking …" : "Unlocking …"),
      key: "lock",
      on: () => act.lock(room, !room.locked),
    }),
    button({
      label: room.recording ? "Stop recording" : "Record",
      icon: room.recording ? "stop" : "record",
      pending: record && (record.want ? "Starting …" : "Stopping …"),
      disabled: isEmpty && !room.recording,
      title: room.recording ? null : why,
      key: "record",
      on: () => act.record(room, !room.recording),
    }),
    button({ label: "Play …", icon: "play", disabled: isEmpty, title: why, pending: pending("play") && "Sending …", key: "play", on: () => act.play(room) }),
    room.playing && button({ label: "Stop playing", icon: "stop", pending: pending("stop") && "Stopping …", key: "stop", on: () => act.stop(room) }),
  );
}

function nowPlaying({ urls, operations, status }) {
  const rest = (operations?.length ?? 1) - 1;
  return h(
    "p",
    { class: "playing" },
    mark("info", status === "paused" ? "Paused" : "Playing"),
    h("span", { class: "mono url" }, urls.join(", ")),
    rest > 0 && h("span", { class: "muted" }, `and ${rest} more queued`),
  );
}

function memberList(room, members, state, act) {
  const floor = state.floors.get(room.id);
  const rows = [...members.values()].sort((a, b) => a.callerId.localeCompare(b.callerId) || (a.uuid < b.uuid ? -1 : 1));
  return h(
    "ul",
    { class: "members", role: "list", "aria-labelledby": "members-title" },
    rows.map((member) => memberItem(room, member, floor === member.uuid, state, act)),
  );
}

function flagButton(flag, room, member, name, state, act) {
  const pending = state.pending.get(pendingKey(flag, member.uuid));
  const next = member[flag.field] ? flag.clear : flag.set;
  return button({
    label: next.label,
    name: `${next.label} ${name}`,
    pending: pending && (pending.want ? flag.set : flag.clear).pending,
    kind: "small",
    key: flag.set.command,
    on: () => act.setFlag(flag, room, member, !member[flag.field]),
  });
}

function memberItem(room, member, floor, state, act) {
  const kick = state.pending.has(`kick:${member.uuid}`);
  const talking = state.talking.has(member.uuid);
  const name = member.callerId || "(no caller id)";
  return h(
    "li",
    { key: member.uuid, class: `member${talking ? " talking" : ""}`, "data-session": member.uuid },
    h("span", { class: "voice", "aria-hidden": "true" }, icon(member.muted ? "micOff" : "mic")),
    h("span", { class: "who" }, h("b", { class: "caller" }, name), h("span", { class: "muted" }, member.did && `dialled ${member.did}`)),
    h(
      "span",
      { class: "member-marks" },
      floor && mark("info", "Floor", { key: "floor" }),
      talking && mark("good", "Talking", { key: "talking" }),
      MEMBER_FLAGS.map(({ field, mark: text }) => member[field] && mark("plain", text, { key: field })),
    ),
    h(
      "span",
      { class: "member-buttons" },
      MEMBER_FLAGS.map((flag) => flagButton(flag, room, member, name, state, act)),
      button({ label: "Kick", name: `Kick ${name}`, kind: "small danger", pending: kick ? "Leaving …" : null, key: "kick", on: () => act.kick(room, member) }),
    ),
  );
}
