// All rooms, and the selected one with its members.

import { h } from "../dom.js";
import { backLink } from "../views/rooms.js";
import { commandButton, copyButton, elapsed, empty, failure, heading, mark, since, table } from "../views/parts.js";
import { appChoice, filters, listOf, nodeChoice } from "./parts.js";

export function roomsView(props) {
  const { state, route, act } = props;
  if (route.id) return roomView(props);
  return h(
    "div",
    { class: "page", key: "rooms" },
    h("div", { class: "pane-head" }, heading(1, "Rooms"), filters("Filter rooms", appChoice("rooms", state, act), nodeChoice("rooms", state, act))),
    listOf({
      name: "rooms",
      state,
      act,
      none: "No rooms match.",
      show: (rows) =>
        table({
          label: "Rooms",
          kind: "all-rooms",
          columns: [{ title: "Room" }, { title: "App" }, { title: "Node", class: "mono" }, { title: "Type" }, { title: "Members", class: "number" }, { title: "Age", class: "number" }, { title: "", class: "buttons" }],
          rows: rows.map((room) => ({ key: room.room_id, attributes: { "data-room": room.room_id }, cells: cellsOf(room, props) })),
        }),
    }),
  );
}

function cellsOf(room, { state, now, act }) {
  return [
    h("span", { class: "with-copy" }, h("a", { href: `#/rooms/${encodeURIComponent(room.room_id)}` }, room.name || "(no name)"), copyButton(room.room_id, `the id of ${room.name || "the room"}`, act), marksOf(room)),
    room.app_id,
    room.node,
    room.type ?? "–",
    String(memberCount(room)),
    age(room.created_at, now),
    deleteButton(room, state, now, act, "small danger"),
  ];
}

const memberCount = (room) => (Array.isArray(room.members) ? room.members.length : room.members);

/** `created_at` is RFC 3339, or seconds since 1970. */
function timeOf(text) {
  return /^[0-9]+$/.test(text) ? Number(text) * 1000 : Date.parse(text);
}

export function age(text, now) {
  return since(timeOf(String(text ?? "")), now);
}

function marksOf(room) {
  return [room.locked && mark("plain", "Locked", { icon: "lock", key: "locked" }), room.waiting && mark("warn", "Waiting for moderator", { key: "waiting" }), room.status === "starting" && mark("warn", "Starting", { key: "status" }), room.stale && mark("warn", "Out of date", { title: "The node is not connected", key: "stale" })];
}

function deleteButton(room, state, now, act, kind) {
  const key = `delete:${room.room_id}`;
  return commandButton({ entry: state.pending.get(key), busy: "Ending …", now, cancel: () => act.cancel(key), label: "Delete", name: `Delete room ${room.name}`, kind, key: "delete", on: () => act.deleteRoom(room) });
}

function roomView({ state, route, now, act }) {
  const { row, gone, error } = state.room.id === route.id ? state.room : { row: null, gone: false, error: null };
  const back = backLink("#/rooms", "All rooms");
  if (!row) {
    return h("div", { class: "page", key: `no-${route.id}` }, back, heading(2, "Room"), gone ? empty("This room has ended.") : error ? failure(error, act.retryNow) : empty("Loading …"));
  }
  return h(
    "div",
    { class: "page one-room", key: route.id },
    back,
    h("div", { class: "pane-head" }, h("div", { class: "title" }, heading(2, row.name || "(no name)"), h("div", { class: "marks" }, marksOf(row))), deleteButton(row, state, now, act, "danger")),
    h(
      "p",
      { class: "muted facts" },
      h("span", null, "App ", h("b", null, row.app_id)),
      h("span", null, "Node ", h("b", { class: "mono" }, row.node)),
      h("span", null, "Age ", age(row.created_at, now)),
      h("span", { class: "with-copy" }, h("span", { class: "mono id" }, row.room_id), copyButton(row.room_id, "the room's id", act)),
    ),
    h("h3", null, memberCount(row) === 1 ? "1 member" : `${memberCount(row)} members`),
    row.members.length === 0 ? empty("The room is empty.") : memberTable(row, { state, now, act }),
  );
}

function memberTable(room, { state, now, act }) {
  return table({
    label: "Members",
    kind: "room-members",
    columns: [{ title: "Caller" }, { title: "Dialled" }, { title: "State" }, { title: "In the room", class: "number" }, { title: "", class: "buttons" }],
    rows: room.members.map((member) => ({
      key: member.uuid,
      attributes: { "data-session": member.uuid },
      cells: [
        h("span", { class: "with-copy" }, h("b", null, member.caller_id || "(no caller id)"), copyButton(member.uuid, `the call id of ${member.caller_id}`, act)),
        member.did || "–",
        h("span", { class: "marks" }, member.status && member.status !== "joined" && mark("warn", member.status, { key: "status" }), member.muted && mark("plain", "Muted", { key: "muted" }), member.deaf && mark("plain", "Deaf", { key: "deaf" }), member.held && mark("plain", "On hold", { key: "held" })),
        member.joined_at ? elapsed(now - Date.parse(member.joined_at)) : "–",
        hangupButton({ ...member, app_id: room.app_id }, state, now, act),
      ],
    })),
  });
}

export function hangupButton(call, state, now, act) {
  const key = `hangup:${call.uuid}`;
  return commandButton({ entry: state.pending.get(key), busy: "Ending …", now, cancel: () => act.cancel(key), label: "Hang up", name: `Hang up ${call.caller_id}`, kind: "small danger", key: "hangup", on: () => act.hangup(call) });
}
