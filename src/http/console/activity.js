// The log of each room: its events since the page was opened, in words. Pure.
//
// Bounded: the latest entries of the most recently active rooms. The page keeps it in memory only. Talking is not logged.

import { flagChange } from "./commands.js";

/** The maximum number of entries of a room, and of rooms with a log. */
export const MAX_ENTRIES = 200;
export const MAX_LOGS = 100;

const LEFT = {
  hangup: "hung up",
  removed: "left the room",
  moved: "moved to another room",
  room_destroyed: "left, because the room ended",
  timeout: "left, because the time was over",
  orphan: "left, because FreeSWITCH lost the call",
};

const SETTINGS = ["detail", "data", "timeout", "pre_actions", "post_actions", "wait_for_moderator", "wait_url", "alone_url"];

/** Adds an event to the log of its room, and remembers its time. `before`: the state without the event. */
export function logEvent(state, before, body, at) {
  const room = body.room_id ?? before.calls.get(body.session_uuid)?.roomId;
  if (!room) return state;
  const text = describe(state, before, body);
  if (text === null && !body.event.startsWith("member.")) return state;
  const lastEvents = new Map(state.lastEvents).set(room, at);
  if (!state.rooms.has(room)) lastEvents.delete(room);
  const next = { ...state, lastEvents };
  if (text === null) return next;
  return add(next, room, { at: timeOf(body, at), ...text, by: origin(body.data?.command_uid, state.page), found: body.data?.synthesized === true });
}

/** Notes in every log that events may be missing. */
export function logGap(state, at) {
  let next = state;
  for (const room of state.activity.keys()) next = add(next, room, { at, who: "", text: "Some events may be missing here", by: null, found: false });
  return next;
}

function add(state, room, entry) {
  const entries = state.activity.get(room) ?? [];
  const activity = new Map(state.activity);
  // The latest log is the last one of the map.
  activity.delete(room);
  activity.set(room, [...entries, { ...entry, n: state.nextEntry }].slice(-MAX_ENTRIES));
  if (activity.size > MAX_LOGS) activity.delete(activity.keys().next().value);
  return { ...state, activity, nextEntry: state.nextEntry + 1 };
}

/** The time of an event, or of its arrival. */
export function timeOf(body, at) {
  const time = Date.parse(body.timestamp);
  return Number.isNaN(time) ? at : time;
}

/** The origin of a command by its `command_uid`; null if no command led to the event. */
function origin(uid, page) {
  if (typeof uid !== "string" || uid === "") return null;
  if (uid.startsWith(`console-${page}-`)) return "this console";
  return uid.startsWith("console-") ? "another console" : "the API";
}

/** `{who, text}`: the call, if there is one, and what happened; null for what is not logged. */
function describe(state, before, { event, session_uuid: session, data = {} }) {
  const known = state.calls.get(session ?? "") ?? before.calls.get(session ?? "");
  const who = session ? known?.callerId || session : "";
  const change = flagChange({ event, data });
  if (change) return { who, text: change.announcement };
  const text = ofMember(event, data) ?? ofPlayback(event, data) ?? ofRoom(event, data);
  return text === null ? null : { who, text };
}

function ofMember(event, data) {
  switch (event) {
    case "conference.member.joined":
      return data.muted === true ? "joined, muted" : "joined";
    case "conference.member.left":
      return LEFT[data.reason] ?? "left the room";
    case "conference.member.reconnected":
      return "is back after a restart of FreeSWITCH";
    case "conference.member.join_failed":
      return `could not join: ${(data.reason ?? "unknown").replaceAll("_", " ")}`;
    case "call.transferred":
      return "was transferred";
    case "call.transfer_failed":
      return `was not transferred: ${(data.reason ?? "unknown").replaceAll("_", " ")}`;
    case "call.transfer_ended":
      return "is parked after a transfer";
    case "conference.member.updated":
      return typeof data.volume_in === "number" ? `has the volume ${data.volume_in}` : null;
    case "conference.member.coach_failed":
      return `did not get a coach: ${(data.reason ?? "unknown").replaceAll("_", " ")}`;
    case "conference.member.recording.started":
      return "is being recorded";
    case "conference.member.recording.paused":
      return "recording paused";
    case "conference.member.recording.resumed":
      return "recording resumed";
    case "conference.member.recording.stopped":
      return "recording stopped";
    case "conference.member.recording.failed":
      return "recording failed";
    default:
      return null;
  }
}

function ofPlayback(event, data) {
  switch (event) {
    case "conference.play.started":
      return `Playback queued: ${typeof data.text === "string" ? data.text : (data.urls ?? []).join(", ")}`;
    case "conference.play.paused":
      return "Playback paused";
    case "conference.play.resumed":
      return "Playback resumed";
    case "conference.play.stopped":
      return "Playback stopped";
    case "conference.play.finished":
      return (data.errors ?? []).length === 0 ? "Playback finished" : `Playback finished with errors: ${data.errors.map((one) => one.url).join(", ")}`;
    case "conference.play.volume_changed":
      return `Playback volume set to ${data.volume} dB`;
    default:
      return null;
  }
}

/** The end of an attempt to call somebody, in words. */
export function dialOutcome(event, data) {
  const what = event.slice("conference.call.".length).replaceAll("_", " ");
  const why = [data.cause, data.sip_status].filter(Boolean).join(", ");
  return `${what}${why && what !== "cancelled" ? ` (${why})` : ""}${data.retry_at ? ", will be called again" : ""}`;
}

function ofRoom(event, data) {
  switch (event) {
    case "conference.created":
      return "Room created";
    case "conference.started":
      return "Conference started";
    case "conference.destroyed":
      return "Room ended";
    case "conference.updated":
      return updates(data);
    case "conference.call.ringing":
      return `${data.to} rings`;
    case "conference.call.answered":
      return `${data.to} answered`;
    case "conference.call.busy":
    case "conference.call.no_answer":
    case "conference.call.failed":
    case "conference.call.cancelled":
      return `Call to ${data.to}: ${dialOutcome(event, data)}`;
    case "conference.recording.started":
      return "Recording started";
    case "conference.recording.stopped":
      return "Recording stopped";
    case "conference.recording.paused":
      return "Recording paused";
    case "conference.recording.resumed":
      return "Recording resumed";
    case "conference.recording.failed":
      return "Recording failed";
    default:
      return null;
  }
}

function updates(data) {
  const changes = [];
  if (typeof data.locked === "boolean") changes.push(data.locked ? "Room locked" : "Room unlocked");
  if (typeof data.name === "string") changes.push(`Renamed to ${data.name}`);
  const settings = SETTINGS.filter((name) => name in data);
  if (settings.length > 0) changes.push(`Changed: ${settings.join(", ").replaceAll("_", " ")}`);
  return changes.length === 0 ? null : changes.join(", ");
}
