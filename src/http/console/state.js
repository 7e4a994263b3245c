// The state of the page and its reducer.
//
// Pure: no clock, no network, no document; actions carry the time. `reduce(state, action)` returns the next state without
// changing the previous one. Leaves out rendering and requests.
//
// Events and responses are merged here. A response may be older than an event that arrived during the request, so these
// events are stored and applied again after the response. Events are idempotent: each carries a new value, not a change.
// The number of members of a room is derived from the calls, never counted from events.

import { MEMBER_FLAGS, flagChange, flagOfKey, flagsOf, pendingKey } from "./flags.js";

/** The time within which an event must confirm a command. After that the state is read again. */
export const CONFIRM_MS = 15_000;

/** The maximum number of notices; older ones disappear. */
const MAX_NOTICES = 4;

/** The maximum number of events stored during a read. Beyond it the read is discarded and repeated. */
const MAX_REPLAY = 5_000;

export function initial(now) {
  return {
    link: { status: "connecting", since: now, retryAt: null, error: null },
    loaded: false,
    cut: false,
    /** room id → {id, name, node, createdAt, locked, playing, recording} */
    rooms: new Map(),
    /** session → {uuid, node, did, callerId, direction, state, roomId, createdAt} */
    calls: new Map(),
    /** room id → (session → {uuid, callerId, did, muted}), for rooms that are open on the page */
    members: new Map(),
    /** sessions of talking members of all rooms: an event comes only when they start */
    talking: new Set(),
    /** room id → session that has the floor */
    floors: new Map(),
    /** The room whose members could not be read. */
    membersError: null,
    nodes: { rows: null, at: null, error: null },
    hooks: { rows: null, error: null },
    deliveries: { of: null, status: "", rows: null, cursor: "", error: null },
    /** commands without confirmation: key → {want, until} */
    pending: new Map(),
    /** rooms with incomplete events, which must be read */
    doubtful: new Set(),
    notices: [],
    nextNotice: 1,
    /** The latest announcement for the live region, and its number. */
    announcement: { n: 0, text: "" },
    reading: new Map(),
    replay: [],
    /** Incremented when everything must be read again. */
    epoch: 0,
  };
}

// ---- rows of the API ------------------------------------------------------------------------------------------------

export const nodeOf = (id) => id.slice(0, id.indexOf("-"));

export function roomOfRow(row) {
  return {
    id: row.room_id,
    name: row.name,
    node: nodeOf(row.room_id),
    createdAt: /^[0-9]+$/.test(row.created_at) ? Number(row.created_at) * 1000 : Date.parse(row.created_at),
    locked: row.locked === true,
    playing: playingOf(row),
    recording: row.recording_status ?? null,
    stale: row.stale === true,
  };
}

function playingOf(row) {
  const status = row.playback_status ?? "stopped";
  if (status === "stopped") return null;
  // A row of a list has no playback operation.
  const id = row.playback_operation_id;
  return { status, urls: row.playback_urls ?? [], operations: id ? [id] : null };
}

export function callOfRow(row) {
  return {
    uuid: row.uuid,
    node: row.node,
    did: row.did,
    callerId: row.caller_id,
    direction: row.direction,
    state: row.state,
    roomId: row.room_id,
    createdAt: Date.parse(row.created_at),
    stale: row.stale === true,
  };
}

export function memberOfRow(row) {
  return {
    uuid: row.uuid,
    callerId: row.caller_id,
    did: row.did,
    ...flagsOf(row),
  };
}

// ---- the reducer ----------------------------------------------------------------------------------------------------

export function reduce(state, action) {
  switch (action.type) {
    case "link":
      return link(state, action);
    case "event":
      return receiveEvent(state, action);
    case "read.begin":
      return { ...state, reading: new Map(state.reading).set(action.id, state.replay.length) };
    case "read.done":
      return read(state, action);
    case "read.failed":
      return { ...noLongerReading(state, action.id), membersError: action.room ?? state.membersError };
    case "nodes":
      return { ...state, nodes: { rows: action.rows ?? state.nodes.rows, at: action.at, error: action.error ?? null } };
    case "hooks":
      return { ...state, hooks: { rows: action.rows ?? state.hooks.rows, error: action.error ?? null } };
    case "deliveries":
      return { ...state, deliveries: { ...state.deliveries, error: null, ...action.change } };
    case "requested": {
      const pending = new Map(state.pending);
      pending.set(action.key, { want: action.want, label: action.label, until: action.at + CONFIRM_MS });
      return { ...state, pending };
    }
    case "settled":
      return settle(state, [action.key]);
    case "tick":
      return tick(state, action.at);
    case "notice":
      return notice(state, action.kind, action.text);
    case "notice.close":
      return { ...state, notices: state.notices.filter((one) => one.id !== action.id) };
    case "announce":
      return announce(state, action.text);
    case "forget.members":
      return { ...state, members: without(state.members, [action.room]) };
    default:
      throw new Error(`no such action: ${action.type}`);
  }
}

function link(state, { status, at, retryAt = null, error = null }) {
  // The time of the loss is kept across attempts.
  const down = (one) => one === "lost" || one === "connecting";
  const since = down(state.link.status) && down(status) ? state.link.since : at;
  const lost = status === "lost" || (status === "connecting" && state.link.lost === true);
  let next = { ...state, link: { status, since, retryAt, lost, error: error ?? (lost ? state.link.error : null) } };
  if (status === "lost" && state.link.status === "open") {
    // Talking events are live only and are not repeated later.
    next = silence(announce(next, "Connection lost"));
  }
  if (status === "open" && state.link.lost) next = announce(next, "Reconnected");
  return next;
}

function silence(state) {
  return { ...state, talking: new Set(), floors: new Map() };
}

function receiveEvent(state, { event, body, at }) {
  // Events are missing or precede this stream, so everything is read again.
  if (event === "stream.gap" || (event === "stream.open" && body?.data?.resumed !== true)) {
    return { ...silence(state), epoch: state.epoch + 1 };
  }
  if (body === null || typeof body !== "object") return state;
  let next = state;
  if (state.reading.size > 0) {
    if (state.replay.length >= MAX_REPLAY) {
      next = { ...next, reading: new Map(), replay: [], epoch: next.epoch + 1 };
    } else {
      next = { ...next, replay: [...state.replay, { body, at }] };
    }
  }
  return announceEvent(apply(next, body, at), state, body);
}

function noLongerReading(state, id) {
  const reading = new Map(state.reading);
  reading.delete(id);
  return { ...state, reading, replay: reading.size === 0 ? [] : state.replay };
}

/** Applies a response, then the events since the request. */
function read(state, { id, rooms, calls, cut, room, detail, members }) {
  const from = state.reading.get(id);
  // The read was discarded, because the events since its start were not stored.
  if (from === undefined) return state;
  const behind = state.replay.slice(from);
  let next = noLongerReading(state, id);
  if (rooms) {
    const known = new Map(rooms.map((one) => [one.id, keepQueue(one, state.rooms.get(one.id))]));
    const there = [...state.members].filter(([one]) => known.has(one));
    next = { ...next, rooms: known, members: new Map(there), loaded: true, cut: cut === true };
  }
  if (calls) next = { ...next, calls: new Map(calls.map((call) => [call.uuid, call])) };
  if (detail !== undefined) {
    const known = without(next.rooms, [room]);
    // `null`: the room no longer exists.
    if (detail) known.set(room, keepQueue(detail, state.rooms.get(room)));
    const doubtful = new Set(next.doubtful);
    doubtful.delete(room);
    next = { ...next, rooms: known, doubtful };
  }
  if (members) {
    const there = new Map(members.map((one) => [one.uuid, one]));
    next = { ...next, members: new Map(next.members).set(room, there), membersError: null };
  }
  for (const { body, at } of behind) next = apply(next, body, at);
  return confirmByState(next);
}

/** Keeps the playback queue: a response has at most its head, the rest is known from events. */
function keepQueue(room, before) {
  if (!room.playing || !before?.playing) return room;
  const queue = before.playing.operations;
  if (room.playing.operations === null) return { ...room, playing: { ...before.playing, status: room.playing.status } };
  const from = queue?.indexOf(room.playing.operations[0]) ?? -1;
  return from < 0 ? room : { ...room, playing: { ...room.playing, operations: queue.slice(from) } };
}

// ---- events ---------------------------------------------------------------------------------------------------------

function apply(state, body, at) {
  const { event, room_id: room, session_uuid: session, data = {} } = body;
  const change = flagChange(event);
  if (change) return flagChanged(state, room, session, change);
  switch (event) {
    case "conference.created":
      return withRoom(state, room, (before) => ({ ...blank(room, at), ...before, name: data.name ?? before?.name ?? "" }));
    case "conference.updated":
      return updated(state, room, data, at);
    case "conference.destroyed": {
      const calls = new Map(state.calls);
      for (const [id, call] of calls) if (call.roomId === room) calls.set(id, outside(call));
      const next = { ...state, calls, rooms: without(state.rooms, [room]), members: without(state.members, [room]) };
      return settle({ ...next, floors: without(next.floors, [room]) }, keysOf(next.pending, room));
    }
    case "conference.member.joined":
      return joined(state, room, session, data, at);
    case "conference.member.left":
      return settle(left(state, room, session), [...MEMBER_FLAGS.map((flag) => pendingKey(flag, session)), `kick:${session}`]);
    case "conference.member.join_failed":
      return settle(
        withCall(state, session, (call) => (call && call.roomId === room ? outside(call) : call)),
        [`join:${session}`, `kick:${session}`],
      );
    case "conference.play.started":
      return settle(
        withRoom(state, room, (one) => one && { ...one, playing: queued(one.playing, data.operation_id, data.urls ?? []) }),
        [`play:${room}`],
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
      return state;
    case "conference.recording.started":
      return settleIf(withRoom(state, room, (one) => one && { ...one, recording: "recording" }), `record:${room}`, true);
    case "conference.recording.stopped":
    case "conference.recording.failed":
      return settle(withRoom(state, room, (one) => one && { ...one, recording: null }), [`record:${room}`]);
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
      return state;
  }
}

function blank(id, at) {
  return { id, name: "", node: nodeOf(id), createdAt: at, locked: false, playing: null, recording: null, stale: false };
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
    stale: false,
  };
}

const outside = (call) => ({ ...call, state: "parked", roomId: null });

function timeOf(body, at) {
  const time = Date.parse(body.timestamp);
  return Number.isNaN(time) ? at : time;
}

function updated(state, room, data, at) {
  const next = withRoom(state, room, (before) => ({
    ...blank(room, at),
    ...before,
    ...(typeof data.name === "string" && { name: data.name }),
    ...(typeof data.locked === "boolean" && { locked: data.locked }),
  }));
  return typeof data.locked === "boolean" ? settleIf(next, `lock:${room}`, data.locked) : next;
}

function joined(state, room, session, data, at) {
  const known = state.rooms.has(room) ? state : doubt(withRoom(state, room, () => blank(room, at)), room);
  const next = withCall(known, session, (before) => ({
    ...stranger(session, at),
    ...before,
    callerId: data.caller_id ?? before?.callerId ?? "",
    did: data.did ?? before?.did ?? "",
    state: "in_room",
    roomId: room,
  }));
  const there = next.members.get(room);
  const settled = settle(next, [`join:${session}`]);
  if (!there) return settled;
  const member = { uuid: session, callerId: data.caller_id ?? "", did: data.did ?? "", ...flagsOf(data) };
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

// ---- announcements --------------------------------------------------------------------------------------------------

const nameOf = (state, session) => state.calls.get(session)?.callerId || session;

/** Announces an event to screen readers, and adds a notice if a command failed. */
function announceEvent(state, before, { event, room_id: room, session_uuid: session, data = {} }) {
  const name = state.rooms.get(room)?.name ?? before.rooms.get(room)?.name ?? "";
  const who = nameOf(before.calls.has(session) ? before : state, session ?? "");
  const change = flagChange(event);
  if (change) return announce(state, `${who} ${change.announcement}`);
  switch (event) {
    case "conference.member.joined":
      return announce(state, `${who} joined ${name}`);
    case "conference.member.left":
      return announce(state, `${who} left ${name}`);
    case "conference.member.join_failed":
      return notice(state, "error", `${who} could not join ${name}: ${(data.reason ?? "unknown").replaceAll("_", " ")}`);
    case "conference.updated":
      if (typeof data.locked !== "boolean") return state;
      return announce(state, `${name} is ${data.locked ? "locked" : "unlocked"}`);
    case "conference.destroyed":
      return announce(state, `${name} has ended`);
    case "conference.recording.started":
      return announce(state, `${name} is being recorded`);
    case "conference.recording.stopped":
      return announce(state, `Recording of ${name} ended`);
    case "conference.recording.failed":
      return notice(state, "error", `Recording of ${name} failed`);
    case "conference.play.finished": {
      const errors = data.errors ?? [];
      if (errors.length === 0) return state;
      return notice(state, "error", `${name}: could not play ${errors.map((one) => `${one.url} (${one.error})`).join(", ")}`);
    }
    case "call.new":
      return announce(state, `Call from ${who}`);
    default:
      return state;
  }
}

function announce(state, text) {
  return { ...state, announcement: { n: state.announcement.n + 1, text } };
}

function notice(state, kind, text) {
  const notices = [...state.notices, { id: state.nextNotice, kind, text }].slice(-MAX_NOTICES);
  return { ...state, notices, nextNotice: state.nextNotice + 1 };
}

// ---- pending commands -----------------------------------------------------------------------------------------------

function settle(state, keys) {
  const found = keys.filter((key) => state.pending.has(key));
  return found.length === 0 ? state : { ...state, pending: without(state.pending, found) };
}

function settleIf(state, key, now) {
  return state.pending.get(key)?.want === now ? settle(state, [key]) : state;
}

function keysOf(pending, id) {
  return [...pending.keys()].filter((key) => key.endsWith(`:${id}`));
}

/** Confirms commands whose effect is visible in the state, in case an event was missed. */
function confirmByState(state) {
  const done = [...state.pending].filter(([key, { want }]) => {
    const [what, id] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
    const call = state.calls.get(id);
    const room = state.rooms.get(id);
    const flag = flagOfKey(what);
    if (flag) {
      const member = call?.roomId ? state.members.get(call.roomId)?.get(id) : undefined;
      return !call?.roomId || member?.[flag.field] === want;
    }
    switch (what) {
      case "kick":
        return call?.state !== "in_room" && call?.state !== "leaving";
      case "join":
        return call?.state === "in_room";
      case "hangup":
        return !call;
      case "lock":
        return !room || room.locked === want;
      case "record":
        return !room || (room.recording === "recording") === want;
      case "stop":
        return !room?.playing;
      case "delete":
        return !room;
      default:
        return false;
    }
  });
  return settle(state, done.map(([key]) => key));
}

function tick(state, at) {
  const late = [...state.pending].filter(([, one]) => one.until <= at);
  if (late.length === 0) return state;
  const next = settle(state, late.map(([key]) => key));
  const text = late.map(([, one]) => one.label).join(", ");
  // Read again, because the outcome is unknown.
  return { ...notice(next, "error", `FreeSWITCH has not confirmed: ${text}. The state is being read again.`), epoch: next.epoch + 1 };
}

// ---- helpers --------------------------------------------------------------------------------------------------------

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

function doubt(state, room) {
  return { ...state, doubtful: new Set(state.doubtful).add(room) };
}

function without(map, keys) {
  const next = new Map(map);
  for (const key of keys) next.delete(key);
  return next;
}

// ---- selectors ------------------------------------------------------------------------------------------------------

/** The number of members of each room. */
export function counts(state) {
  const found = new Map();
  for (const { roomId, state: place } of state.calls.values()) {
    if (roomId && (place === "in_room" || place === "leaving")) found.set(roomId, (found.get(roomId) ?? 0) + 1);
  }
  return found;
}

/** The calls that wait for a room, longest wait first. */
export function waiting(state) {
  const calls = [...state.calls.values()].filter((call) => call.state === "parked" || call.state === "ringing");
  return calls.sort((a, b) => a.createdAt - b.createdAt || (a.uuid < b.uuid ? -1 : 1));
}
