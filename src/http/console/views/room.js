// The selected room: its controls, members and log.

import { h } from "../dom.js";
import { activityLog } from "./activity.js";
import { memberItem } from "./member.js";
import { button, commandButton, copyButton, empty, failure, heading, icon, mark, since } from "./parts.js";
import { backLink, marksOf } from "./rooms.js";

/** The box that leaves moderators out of commands to all members. */
const EXCEPT = "except-moderators";

/** The bounds of the volume in the API. */
const [QUIETEST, LOUDEST] = [-50, 7];

export function roomView({ state, id, now, act, count }) {
  const room = state.rooms.get(id);
  const back = backLink("#/rooms", "All rooms");
  const log = state.activity.get(id) ?? [];
  if (!room) {
    return h("div", { key: `no-${id}`, class: "detail" }, h("div", { class: "room-main" }, back, state.loaded ? empty("This room has ended.") : empty("Loading …")), log.length > 0 && activityLog(log));
  }
  const members = state.members.get(id);
  return h(
    "div",
    { key: id, class: "detail" },
    h(
      "div",
      { class: "room-main" },
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
        h("span", { class: "with-copy" }, h("span", { class: "mono id", title: "The room's id" }, room.id), copyButton(room.id, "the room's id", act)),
      ),
      controls(room, { state, now, act, count }),
      playbackBar(room, { state, now, act }),
      dialOuts(room, { state, now, act }),
      memberHead(room, members, { state, now, act, count }),
      state.membersError === id && failure("Cannot read the members.", () => act.readRoom(id)),
      !members && state.membersError !== id && empty("Loading …"),
      members?.size === 0 && empty("The room is empty. ", h("a", { href: "#/calls" }, "Join a waiting call.")),
      members && members.size > 0 && memberList(room, members, { state, now, act }),
    ),
    activityLog(log),
  );
}

/** A command button of the room. `busy`: the words while it is pending, by the value that was requested. */
function control(room, what, { state, now, act, busy, ...rest }) {
  const key = `${what}:${room.id}`;
  const entry = state.pending.get(key);
  return commandButton({ entry, busy: typeof busy === "function" ? entry && busy(entry.want) : busy, now, cancel: () => act.cancel(key), key: what, ...rest });
}

function controls(room, { state, now, act, count }) {
  const isEmpty = count === 0;
  const why = isEmpty ? "The room is empty" : null;
  const shared = { state, now, act };
  return h(
    "div",
    { class: "controls", role: "group", "aria-label": `Controls of ${room.name}` },
    control(room, "lock", { ...shared, label: room.locked ? "Unlock" : "Lock", icon: room.locked ? "unlock" : "lock", busy: (want) => (want ? "Locking …" : "Unlocking …"), on: () => act.lock(room, !room.locked) }),
    control(room, "record", {
      ...shared,
      label: room.recording ? "Stop recording" : "Record",
      icon: room.recording ? "stop" : "record",
      busy: (want) => (want ? "Starting …" : "Stopping …"),
      disabled: isEmpty && !room.recording,
      title: room.recording ? null : why,
      on: () => act.record(room, !room.recording),
    }),
    (room.recording === "recording" || room.recording === "paused") &&
      control(room, "record-pause", {
        ...shared,
        label: room.recording === "paused" ? "Resume recording" : "Pause recording",
        icon: room.recording === "paused" ? "record" : "pause",
        busy: (want) => (want ? "Pausing …" : "Resuming …"),
        on: () => act.pauseRecording(room, room.recording !== "paused"),
      }),
    control(room, "say", { ...shared, label: "Say …", icon: "mic", disabled: isEmpty, title: why, busy: "Sending …", on: () => act.say(room) }),
    control(room, "play", { ...shared, label: "Play …", icon: "play", disabled: isEmpty, title: why, busy: "Sending …", on: () => act.play(room) }),
    button({ label: "Call …", icon: "plus", key: "dial", name: `Call somebody into ${room.name}`, on: () => act.dial(room) }),
    control(room, "music", { ...shared, label: "Music …", icon: "volume", busy: "Saving …", on: () => act.changeMusic(room) }),
    volumeControl(room, state, act),
  );
}

/** What happens with a call to the outside. */
const DIALS = { dialling: "is being called", ringing: "rings", waiting: "will be called again", cancelling: "is being cancelled" };

/** The calls to the outside that were not answered yet, each with a button that cancels it. */
function dialOuts(room, { state, now, act }) {
  if (!room.dials?.length) return null;
  return h(
    "ul",
    { class: "dials", key: "dials", role: "list", "aria-label": "Calls to the outside" },
    room.dials.map((dial) => {
      const key = `cancel:${dial.id}`;
      return h(
        "li",
        { key: dial.id, class: "dial" },
        h("span", null, h("b", { class: "caller" }, dial.to), ` ${DIALS[dial.status] ?? dial.status}`, dial.attempts > 1 && `, attempt ${dial.attempt} of ${dial.attempts}`),
        commandButton({ entry: state.pending.get(key), busy: "Cancelling …", now, cancel: () => act.cancel(key), label: "Cancel", name: `Cancel the call to ${dial.to}`, kind: "small", key: "cancel", on: () => act.cancelDial(room, dial) }),
      );
    }),
  );
}

/** The playing file with its controls, while something plays. */
function playbackBar(room, { state, now, act }) {
  if (!room.playing) return null;
  const { urls, operations, status } = room.playing;
  const rest = (operations?.length ?? 1) - 1;
  const paused = status === "paused";
  const shared = { state, now, act, kind: "small" };
  return h(
    "div",
    { class: "playing", key: "playing" },
    mark("info", paused ? "Paused" : "Playing", { icon: paused ? "pause" : "play" }),
    h("span", { class: "mono url" }, urls.join(", ")),
    rest > 0 && h("span", { class: "muted" }, `and ${rest} more queued`),
    h(
      "span",
      { class: "playing-buttons" },
      control(room, "pause", { ...shared, label: paused ? "Resume" : "Pause", icon: paused ? "play" : "pause", busy: (want) => (want ? "Pausing …" : "Resuming …"), on: () => act.pause(room, !paused) }),
      control(room, "stop", { ...shared, label: "Stop playing", icon: "stop", busy: "Stopping …", on: () => act.stop(room) }),
    ),
  );
}

/** room id → the position of a slider that moves. */
const moving = new Map();

function volumeControl(room, state, act) {
  const id = `volume-${room.id}`;
  const chosen = room.volume ?? 0;
  const shown = moving.get(room.id) ?? chosen;
  const move = (field, value) => {
    if (value === null) moving.delete(room.id);
    else moving.set(room.id, value);
    const text = `${value ?? chosen} dB`;
    field.setAttribute("aria-valuetext", text);
    field.parentElement.querySelector("output").textContent = text;
  };
  const send = async ({ target: field }) => {
    const good = await act.volume(room, Number(field.value));
    if (!good) field.value = String(chosen);
    moving.delete(room.id);
    if (!good && field.isConnected) move(field, null);
  };
  return h(
    "div",
    { class: `volume${state.pending.has(`volume:${room.id}`) ? " busy" : ""}`, key: "volume" },
    h("label", { for: id, title: "Volume of playback, now and later" }, icon("volume"), h("span", { class: "hidden" }, "Volume of playback")),
    h("input", { id, type: "range", min: QUIETEST, max: LOUDEST, step: "1", value: String(chosen), "aria-valuetext": `${shown} dB`, on: { input: ({ target }) => move(target, Number(target.value)), change: send } }),
    h("output", { for: id }, `${shown} dB`),
  );
}

function memberHead(room, members, { state, now, act, count }) {
  const all = [...(members?.values() ?? [])];
  const muted = all.filter((member) => member.muted).length;
  const key = `mute-all:${room.id}`;
  const entry = state.pending.get(key);
  const every = (label, want, useless) =>
    commandButton({
      entry: entry?.want === want ? entry : undefined,
      busy: want ? "Muting all …" : "Unmuting all …",
      now,
      label,
      kind: "small",
      disabled: useless || entry !== undefined,
      key: label,
      on: () => act.muteAll(room, want, document.getElementById(EXCEPT).checked),
    });
  return h(
    "div",
    { class: "member-head" },
    h("h3", { id: "members-title" }, count === 1 ? "1 member" : `${count} members`),
    all.length > 0 &&
      h(
        "span",
        { class: "row-buttons" },
        every("Mute all", true, muted === all.length),
        every("Unmute all", false, muted === 0),
        h("label", { class: "except", for: EXCEPT }, h("input", { id: EXCEPT, type: "checkbox" }), "except moderators"),
      ),
  );
}

function memberList(room, members, props) {
  const rows = [...members.values()].sort((a, b) => a.callerId.localeCompare(b.callerId) || (a.uuid < b.uuid ? -1 : 1));
  return h("ul", { class: "members", role: "list", "aria-labelledby": "members-title" }, rows.map((member) => memberItem(room, member, props)));
}
