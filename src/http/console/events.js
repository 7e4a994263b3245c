// The effect of each event on the state. Pure.
//
// Leaves out the log (`activity.js`) and the merging with responses (`state.js`).

import { dialOutcome, timeOf } from "./activity.js";
import { MEMBER_FLAGS, flagChange, flagsOf, keysConfirmedBy, pendingKey } from "./commands.js";
import { announce, notice } from "./notices.js";
import { keysOf, settle, settleIf } from "./pending.js";

/** The node of a room's or call's id. */
export const nodeOf = (id) => id.slice(0, id.indexOf("-"));

/** Applies an event. Idempotent: an event carries a new value, not a change. */
export function apply(state, body, at) {
  const next = applyEvent(state, body, at);
  return body.session_uuid ? settle(next, keysConfirmedBy(body)) : next;
}

function applyEvent(state, body, at) {
  const { event, room_id: room, session_uuid: session, data = {} } = body;
  const change = flagChange(body);
  const flagged = change ? flagChanged(state, room, session, change) : state;
  switch (event) {
    case "conference.member.updated":
      return typeof data.volume_in === "number" ? withMember(flagged, room, session, { volume: data.volume_in }) : flagged;
    case "conference.member.coached":
      return coaching(flagged, data.coach, "parked", "coaching");
    case "conference.member.uncoached":
    case "conference.member.coach_failed":
      return settle(coaching(flagged, data.coach, "coaching", "parked"), [`coach:${session}`]);
    case "conference.call.ringing":
      return doubt(state, room);
    case "conference.call.answered":
    case "conference.call.busy":
    case "conference.call.no_answer":
    case "conference.call.failed":
    case "conference.call.cancelled":
      return settle(doubt(state, room), [`cancel:${data.call_id}`]);
    case "conference.created": {
      const next = withRoom(state, room, (before) => ({ ...blank(room, at), ...before, name: data.name ?? before?.name ?? "" }));
      // The event has no settings.
      return state.rooms.has(room) ? next : doubt(next, room);
    }
    case "conference.updated":
      return updated(state, room, data, at);
    case "conference.started":
      return withRoom(state, room, (one) => one && { ...one, waiting: false });
    case "conference.destroyed": {
      const calls = new Map(state.calls);
      for (const [id, call] of calls) if (call.roomId === room) calls.set(id, outside(call));
      const next = { ...state, calls, rooms: without(state.rooms, [room]), members: without(state.members, [room]) };
      return settle({ ...next, floors: without(next.floors, [room]) }, keysOf(next.pending, room));
    }
    case "conference.member.joined":
      return joined(state, body, at);
    case "conference.member.left":
      return settle(left(state, room, session), MEMBER_FLAGS.map((flag) => pendingKey(flag, session)));
    case "conference.member.join_failed":
      return settle(
        withCall(state, session, (call) => (call && call.roomId === room ? outside(call) : call)),
        [`join:${session}`, `kick:${session}`],
      );
    case "conference.member.move_failed":
      return settle(state, [`move:${session}`]);
    case "conference.play.started":
      return settle(
        withRoom(state, room, (one) => one && { ...one, playing: queued(one.playing, data.operation_id, soundsOf(data)) }),
        [`play:${room}`, `say:${room}`],
      );
    case "conference.play.paused":
    case "conference.play.resumed": {
      const status = event === "conference.play.paused" ? "paused" : "playing";
      return settle(
        withRoom(state, room, (one) => one?.playing && { ...one, playing: { ...one.playing, status } }),
        [`pause:${room}`],
      );
    }
    case "conference.play.finished":
    case "conference.play.stopped":
      return ended(state, room, data.operation_id);
    case "conference.play.volume_changed":
      return settle(withRoom(state, room, (one) => one && { ...one, volume: data.volume ?? one.volume }), [`volume:${room}`]);
    case "conference.recording.started":
      return settleIf(withRoom(state, room, (one) => one && { ...one, recording: "recording" }), `record:${room}`, true);
    case "conference.recording.paused":
    case "conference.recording.resumed": {
      const paused = event === "conference.recording.paused";
      return settleIf(withRoom(state, room, (one) => one && { ...one, recording: paused ? "paused" : "recording" }), `record-pause:${room}`, paused);
    }
    case "conference.recording.stopped":
    case "conference.recording.failed":
      return settle(withRoom(state, room, (one) => one && { ...one, recording: null }), [`record:${room}`, `record-pause:${room}`]);
    case "call.new":
      return withCall(state, session, (before) => ({
        ...stranger(session, at),
        ...before,
        callerId: data.caller_id ?? "",
        did: data.did ?? "",
        direction: data.direction ?? "inbound",
        createdAt: before?.createdAt ?? timeOf(body, at),
      }));
    case "call.answered":
      return settle(
        withCall(state, session, (call) => (call?.state === "ringing" ? { ...call, state: "parked" } : call)),
        [`answer:${session}`],
      );
    case "call.transferred":
      return withCall(state, session, (call) => call && { ...call, state: "transferred" });
    case "call.transfer_failed":
    case "call.transfer_ended":
      return withCall(state, session, (call) => call && { ...call, state: "parked" });
    case "call.hangup": {
      const room = state.calls.get(session)?.roomId;
      const next = room ? left(state, room, session) : state;
      return settle({ ...next, calls: without(next.calls, [session]) }, keysOf(state.pending, session));
    }
    case "member.talking":
      return talks(state, session, data.talking === true);
    case "member.floor": {
      const floors = without(state.floors, [room]);
      if (data.session_uuid) floors.set(room, data.session_uuid);
      return { ...state, floors };
    }
    default:
      // A newer server may send more events.
      return flagged;
  }
}

/** What a playback plays: its files, or its text. */
export const soundsOf = ({ urls = [], text }) => (typeof text === "string" ? [text] : urls);

/** The state of a call that begins or ends to coach, if it still has the other one. */
function coaching(state, session, from, to) {
  return withCall(state, session, (call) => (call?.state === from ? { ...call, state: to } : call));
}

function blank(id, at) {
  return { id, name: "", node: nodeOf(id), createdAt: at, locked: false, waits: false, waiting: false, aloneUrl: null, waitUrl: null, playing: null, volume: null, recording: null, stale: false, dials: [] };
}

function stranger(uuid, at) {
  return {
    uuid,
    node: nodeOf(uuid),
    did: "",
    callerId: "",
    direction: "inbound",
    state: "parked",
    roomId: null,
    createdAt: at,
    joinedAt: null,
    stale: false,
  };
}

const outside = (call) => ({ ...call, state: "parked", roomId: null, joinedAt: null });

function updated(state, room, data, at) {
  const next = withRoom(state, room, (before) => ({
    ...blank(room, at),
    ...before,
    ...(typeof data.name === "string" && { name: data.name }),
    ...(typeof data.locked === "boolean" && { locked: data.locked }),
  }));
  // Whether it waits from now on depends on its members.
  if (["wait_for_moderator", "wait_url", "alone_url"].some((name) => name in data)) return settle(doubt(next, room), [`music:${room}`]);
  return typeof data.locked === "boolean" ? settleIf(next, `lock:${room}`, data.locked) : next;
}

function joined(state, body, at) {
  const { room_id: room, session_uuid: session, data = {} } = body;
  const known = state.rooms.has(room) ? state : doubt(withRoom(state, room, () => blank(room, at)), room);
  const next = withCall(known, session, (before) => ({
    ...stranger(session, at),
    ...before,
    callerId: data.caller_id ?? before?.callerId ?? "",
    did: data.did ?? before?.did ?? "",
    state: "in_room",
    roomId: room,
    joinedAt: timeOf(body, at),
  }));
  const there = next.members.get(room);
  const settled = settle(next, [`join:${session}`]);
  if (!there) return settled;
  const member = { uuid: session, callerId: data.caller_id ?? "", did: data.did ?? "", joinedAt: timeOf(body, at), volume: data.volume_in ?? 0, ...flagsOf(data) };
  return { ...settled, members: new Map(settled.members).set(room, new Map(there).set(session, member)) };
}

/** A muted member does not talk. */
function flagChanged(state, room, session, { flag, value }) {
  const next = withMember(state, room, session, { [flag.field]: value });
  const muted = flag.field === "muted" && value;
  return settleIf(muted ? talks(next, session, false) : next, pendingKey(flag, session), value);
}

function left(state, room, session) {
  let next = withCall(state, session, (call) => (call && call.roomId === room ? outside(call) : call));
  const there = next.members.get(room);
  if (there?.has(session)) {
    next = { ...next, members: new Map(next.members).set(room, without(there, [session])) };
  }
  const isEmpty = state.rooms.get(room)?.waits && ![...next.calls.values()].some((call) => call.roomId === room);
  if (isEmpty) next = withRoom(next, room, (one) => one && { ...one, waiting: true });
  // No event says that a departed member stopped talking.
  next = talks(next, session, false);
  return next.floors.get(room) === session ? { ...next, floors: without(next.floors, [room]) } : next;
}

function talks(state, session, now) {
  if (state.talking.has(session) === now) return state;
  const talking = new Set(state.talking);
  if (now) talking.add(session);
  else talking.delete(session);
  return { ...state, talking };
}

function queued(playing, operation, urls) {
  if (!playing) return { status: "playing", urls, operations: [operation] };
  if (playing.operations === null) return playing;
  return playing.operations.includes(operation) ? playing : { ...playing, operations: [...playing.operations, operation] };
}

function ended(state, room, operation) {
  const before = state.rooms.get(room)?.playing;
  if (!before) return settle(state, [`stop:${room}`]);
  // Operations from before the page was loaded are known only from a response.
  if (!before.operations?.includes(operation)) return doubt(state, room);
  const rest = before.operations.filter((one) => one !== operation);
  const head = before.operations[0] === operation;
  const playing = rest.length === 0 ? null : { ...before, operations: rest };
  const next = withRoom(state, room, (one) => one && { ...one, playing });
  // The same applies to the next operation.
  const known = head ? doubt(next, room) : next;
  return playing ? known : settle(known, [`stop:${room}`, `pause:${room}`]);
}

// ---- announcements --------------------------------------------------------------------------------------------------------

const nameOf = (state, session) => state.calls.get(session)?.callerId || session;

/** Announces an event to screen readers, and adds a notice if a command failed. */
export function announceEvent(state, before, { event, room_id: room, session_uuid: session, data = {} }) {
  const name = state.rooms.get(room)?.name ?? before.rooms.get(room)?.name ?? "";
  const who = nameOf(before.calls.has(session) ? before : state, session ?? "");
  const change = flagChange({ event, data });
  if (change) return announce(state, `${who} ${change.announcement}`);
  switch (event) {
    case "conference.member.updated":
      return typeof data.volume_in === "number" ? announce(state, `${who} has the volume ${data.volume_in}`) : state;
    case "conference.member.joined":
      return announce(state, `${who} joined ${name}`);
    case "conference.member.left":
      return announce(state, `${who} left ${name}`);
    case "conference.member.reconnected":
      return announce(state, `${who} is back in ${name}`);
    case "conference.member.join_failed":
      return notice(state, "error", `${who} could not join ${name}: ${(data.reason ?? "unknown").replaceAll("_", " ")}`);
    case "conference.updated":
      if (typeof data.locked !== "boolean") return state;
      return announce(state, `${name} is ${data.locked ? "locked" : "unlocked"}`);
    case "conference.started":
      return announce(state, `${name} has started`);
    case "conference.destroyed":
      return announce(state, `${name} has ended`);
    case "conference.recording.started":
      return announce(state, `${name} is being recorded`);
    case "conference.recording.stopped":
      return announce(state, `Recording of ${name} ended`);
    case "conference.recording.paused":
      return announce(state, `Recording of ${name} is paused`);
    case "conference.recording.resumed":
      return announce(state, `Recording of ${name} continues`);
    case "call.transferred":
      return announce(state, `${who} was transferred`);
    case "call.transfer_failed":
      return notice(state, "error", `${who} was not transferred: ${(data.reason ?? "unknown").replaceAll("_", " ")}`);
    case "call.transfer_ended":
      return announce(state, `${who} is parked after a transfer`);
    case "conference.member.coach_failed":
      return notice(state, "error", `${who} did not get a coach: ${(data.reason ?? "unknown").replaceAll("_", " ")}`);
    case "conference.member.recording.started":
      return announce(state, `${who} is being recorded in ${name}`);
    case "conference.member.recording.stopped":
      return announce(state, `Recording of ${who} in ${name} ended`);
    case "conference.member.recording.failed":
      return notice(state, "error", `Recording of ${who} in ${name} failed`);
    case "conference.recording.failed":
      return notice(state, "error", `Recording of ${name} failed`);
    case "conference.play.finished": {
      const errors = data.errors ?? [];
      if (errors.length === 0) return state;
      return notice(state, "error", `${name}: could not play ${errors.map((one) => `${one.url} (${one.error})`).join(", ")}`);
    }
    case "conference.call.ringing":
      return announce(state, `${data.to} rings`);
    case "conference.call.answered":
      return announce(state, `${data.to} answered`);
    case "conference.call.busy":
    case "conference.call.no_answer":
    case "conference.call.failed":
    case "conference.call.cancelled":
      return notice(state, "info", `${data.to}, called into ${name}: ${dialOutcome(event, data)}`);
    case "call.new":
      return announce(state, `Call from ${who}`);
    default:
      return state;
  }
}

// ---- helpers -------------------------------------------------------------------------------------------------------------

function withRoom(state, id, change) {
  const before = state.rooms.get(id);
  const after = change(before);
  return !after || after === before ? state : { ...state, rooms: new Map(state.rooms).set(id, after) };
}

function withCall(state, id, change) {
  const before = state.calls.get(id);
  const after = change(before);
  return !after || after === before ? state : { ...state, calls: new Map(state.calls).set(id, after) };
}

function withMember(state, room, session, change) {
  const there = state.members.get(room);
  const before = there?.get(session);
  if (!before) return state;
  return { ...state, members: new Map(state.members).set(room, new Map(there).set(session, { ...before, ...change })) };
}

/** Marks a room that must be read. */
export function doubt(state, room) {
  return { ...state, doubtful: new Set(state.doubtful).add(room) };
}

export function without(map, keys) {
  const next = new Map(map);
  for (const key of keys) next.delete(key);
  return next;
}
