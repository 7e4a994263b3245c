// The state of the page and its reducer.
//
// Pure: no clock, no network, no document; actions carry the time. `reduce(state, action)` returns the next state without
// changing the previous one. Leaves out rendering and requests.
//
// Events and responses are merged here; `events.js` has the effect of each event. A response may be older than an event that
// arrived during the request, so these events are stored and applied again after the response. Events are idempotent: each
// carries a new value, not a change. The number of members of a room is derived from the calls, never counted from events.

import { logEvent, logGap } from "./activity.js";
import { flagsOf } from "./commands.js";
import { announceEvent, apply, doubt, nodeOf, soundsOf, without } from "./events.js";
import { announce, closeNotice, initialNotices, notice } from "./notices.js";
import { confirmByState, cooledDown, requested, settle, tick } from "./pending.js";

/** The maximum number of events stored during a read. Beyond it the read is discarded and repeated. */
const MAX_REPLAY = 5_000;

/** The state of a new page. `page`: the id of this page, by which its own commands are recognized. */
export function initial(now, page = "") {
  return {
    page,
    link: { status: "connecting", since: now, retryAt: null, error: null },
    loaded: false,
    cut: false,
    /** room id → {id, name, node, createdAt, locked, playing, volume, recording, dials, …} */
    rooms: new Map(),
    /** session → {uuid, node, did, callerId, direction, state, roomId, createdAt, joinedAt} */
    calls: new Map(),
    /** room id → (session → {uuid, callerId, did, joinedAt, volume, muted, …}), for rooms that are open on the page */
    members: new Map(),
    /** sessions of talking members of all rooms: an event comes only when they start */
    talking: new Set(),
    /** room id → session that has the floor */
    floors: new Map(),
    /** The room whose members could not be read. */
    membersError: null,
    nodes: { rows: null, at: null, error: null },
    hooks: { rows: null, error: null },
    /** the bodies of deliveries that are open on the page: id → {text, error} */
    bodies: new Map(),
    deliveries: { of: null, status: "", rows: null, cursor: "", error: null },
    /** commands without confirmation */
    pending: new Map(),
    /** rooms with incomplete events, which must be read */
    doubtful: new Set(),
    ...initialNotices(),
    /** room id → its log */
    activity: new Map(),
    nextEntry: 1,
    /** room id → the time of its latest event */
    lastEvents: new Map(),
    reading: new Map(),
    replay: [],
    /** Incremented when everything must be read again. */
    epoch: 0,
  };
}

// ---- rows of the API ------------------------------------------------------------------------------------------------

export function roomOfRow(row) {
  return {
    id: row.room_id,
    name: row.name,
    node: nodeOf(row.room_id),
    createdAt: /^[0-9]+$/.test(row.created_at) ? Number(row.created_at) * 1000 : Date.parse(row.created_at),
    locked: row.locked === true,
    /** True if its members wait for a moderator, each time that it begins. */
    waits: row.wait_for_moderator === true,
    waiting: row.waiting === true,
    aloneUrl: row.alone_url ?? null,
    waitUrl: row.wait_url ?? null,
    playing: playingOf(row),
    // A row of a list has no volume.
    volume: row.playback_volume ?? null,
    recording: row.recording_status ?? null,
    stale: row.stale === true,
    // Another request reads them.
    dials: null,
  };
}

function playingOf(row) {
  const status = row.playback_status ?? "stopped";
  if (status === "stopped") return null;
  // A row of a list has no playback operation.
  const id = row.playback_operation_id;
  return { status, urls: soundsOf({ urls: row.playback_urls, text: row.playback_text }), operations: id ? [id] : null };
}

/** A call to the outside that was not answered yet. */
export function dialOfRow(row) {
  return { id: row.call_id, to: row.to, status: row.status, attempt: row.attempt, attempts: row.attempts };
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
    joinedAt: null,
    stale: row.stale === true,
  };
}

export function memberOfRow(row) {
  return {
    uuid: row.uuid,
    callerId: row.caller_id,
    did: row.did,
    // Null: unknown.
    joinedAt: row.joined_at ? Date.parse(row.joined_at) : null,
    volume: row.volume_in ?? 0,
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
    case "memberships":
      return withJoinTimes(state, action);
    case "body":
      return withBody(state, action);
    case "requested":
      return requested(state, action);
    case "cooldown":
      return cooledDown(state, action);
    case "settled":
      return settle(state, [action.key]);
    case "tick":
      return tick(state, action.at);
    case "doubt":
      return doubt(state, action.room);
    case "notice":
      return notice(state, action.kind, action.text);
    case "notice.close":
      return closeNotice(state, action.id);
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
    return { ...logGap(silence(state), at), epoch: state.epoch + 1 };
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
  const applied = announceEvent(apply(next, body, at), state, body);
  // The event of a response comes again by the stream.
  return event === "answer" ? applied : logEvent(applied, state, body, at);
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
    const known = new Map(rooms.map((one) => [one.id, keepDetails(one, state.rooms.get(one.id))]));
    const there = [...state.members].filter(([one]) => known.has(one));
    next = { ...next, rooms: known, members: new Map(there), loaded: true, cut: cut === true };
  }
  if (calls) next = { ...next, calls: new Map(calls.map((call) => [call.uuid, keepJoin(call, state.calls.get(call.uuid))])) };
  if (detail !== undefined) {
    const known = without(next.rooms, [room]);
    // `null`: the room no longer exists.
    if (detail) known.set(room, keepDetails(detail, state.rooms.get(room)));
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

/** Keeps the time of a join that only an event has reported, while the call stays in that room. */
function keepJoin(call, before) {
  return before && before.roomId === call.roomId ? { ...call, joinedAt: before.joinedAt } : call;
}

/** Keeps what a response lacks: a row of a list has no volume; a response has at most the head of the playback queue. */
function keepDetails(row, before) {
  const known = row.dials === null ? { ...row, dials: before?.dials ?? [] } : row;
  return keepQueue(known.volume === null && before ? { ...known, volume: before.volume } : known, before);
}

function keepQueue(room, before) {
  if (!room.playing || !before?.playing) return room;
  const queue = before.playing.operations;
  if (room.playing.operations === null) return { ...room, playing: { ...before.playing, status: room.playing.status } };
  const from = queue?.indexOf(room.playing.operations[0]) ?? -1;
  return from < 0 ? room : { ...room, playing: { ...room.playing, operations: queue.slice(from) } };
}

/** The maximum number of bodies of deliveries that are kept. */
const MAX_BODIES = 50;

function withBody(state, { id, text = null, error = null }) {
  const bodies = new Map(state.bodies).set(id, { text, error });
  if (bodies.size > MAX_BODIES) bodies.delete(bodies.keys().next().value);
  return { ...state, bodies };
}

/** Sets the times of joins from memberships: rows of the VoIPBIN API. */
function withJoinTimes(state, { room, rows }) {
  const calls = new Map(state.calls);
  for (const { reference_id: channel, status, tm_create: created } of rows) {
    const id = `${nodeOf(room)}-${channel}`;
    const call = calls.get(id);
    if (call?.roomId !== room || call.joinedAt !== null || (status !== "joined" && status !== "leaving")) continue;
    const at = Date.parse(`${created.replace(" ", "T")}Z`);
    if (!Number.isNaN(at)) calls.set(id, { ...call, joinedAt: at });
  }
  return { ...state, calls };
}
