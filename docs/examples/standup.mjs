// A standup: callers are muted, and speak one after the other. With the package roomkeeper-client.
//
// Each caller joins the room "standup-<node>" and waits for a turn. A turn ends after TURN_SECONDS, or when the speaker
// leaves. The application follows the event stream, so it needs no address that Roomkeeper can reach.
//
// It stores the turn and its place in the stream in STATE_FILE after each event, and continues from there after a restart.
// Its commands have keys that follow from the turn, so a repeated one is executed once.
//
// Environment: ROOMKEEPER_API, STATE_FILE, TURN_SECONDS.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { ApiError, result, Roomkeeper } from "roomkeeper-client";

const STATE_FILE = process.env.STATE_FILE ?? "standup.json";
const TURN_SECONDS = Number(process.env.TURN_SECONDS ?? 60);
const COMMANDS = "/api/v1/sessions/{uuid}/commands/conference";
const roomkeeper = new Roomkeeper({
  baseUrl: process.env.ROOMKEEPER_API ?? "http://127.0.0.1:8080",
  appId: "demo",
  apiKey: "lab-key",
});

/** The rooms by id: those who wait, in their order, the speaker, and the number of the turn. */
let state = { lastEventId: undefined, rooms: {} };
/** The timers of turns, by room. */
const timers = new Map();

function load() {
  try {
    state = JSON.parse(readFileSync(STATE_FILE, "utf8"));
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
}

/** Replaces the file as a whole, so that a crash leaves the old or the new state. */
function save() {
  writeFileSync(`${STATE_FILE}.new`, JSON.stringify(state));
  renameSync(`${STATE_FILE}.new`, STATE_FILE);
}

/** Executes a command; a call that has gone needs none, and neither does one in the wanted state (409). */
async function attempt(step) {
  try {
    return await step();
  } catch (error) {
    if (error instanceof ApiError && [404, 409].includes(error.status)) return undefined;
    throw error;
  }
}

const command = (uuid, name, body) =>
  attempt(() => result(roomkeeper.POST(`${COMMANDS}/${name}`, { params: { path: { uuid } }, body })));

/** The standup's room on a node, which is made if there is none yet. */
async function roomOn(node, session) {
  try {
    const body = { name: `standup-${node}`, session };
    return (await result(roomkeeper.POST("/api/v1/conferences", { body }))).room_id;
  } catch (error) {
    if (error instanceof ApiError && error.detail.room_id) return error.detail.room_id;
    throw error;
  }
}

async function place(call) {
  const room_id = await attempt(() => roomOn(call.slice(0, 5), call));
  if (room_id) await command(call, "join", { room_id, muted: true });
}

function roomState(id) {
  state.rooms[id] ??= { waiting: [], speaker: null, turn: 0 };
  return state.rooms[id];
}

/** Gives the turn to the next caller if nobody speaks. */
async function nextTurn(id) {
  const room = roomState(id);
  if (room.speaker !== null || room.waiting.length === 0) return;
  room.speaker = room.waiting.shift();
  room.turn += 1;
  save();
  await beginTurn(id, room);
}

/** Unmutes the speaker. After a restart this repeats the same command, which Roomkeeper executes once. */
async function beginTurn(id, room) {
  await command(room.speaker, "unmute", { command_uid: `turn-${room.turn}-begin` });
  console.log(`turn ${room.turn}: ${room.speaker}`);
  clearTimeout(timers.get(id));
  const turn = room.turn;
  const over = () => endTurn(id, turn).catch(fail);
  timers.set(id, setTimeout(over, TURN_SECONDS * 1000));
}

async function endTurn(id, turn) {
  const room = roomState(id);
  if (room.turn !== turn || room.speaker === null) return;
  const { speaker } = room;
  await command(speaker, "mute", { command_uid: `turn-${turn}-end` });
  // The speaker may have left meanwhile.
  if (room.turn !== turn || room.speaker !== speaker) return;
  room.waiting.push(speaker);
  room.speaker = null;
  await nextTurn(id);
}

function leave(id, call) {
  const room = roomState(id);
  room.waiting = room.waiting.filter((one) => one !== call);
  if (room.speaker === call) room.speaker = null;
}

/** Reads the state again: at the first start, and when events are missing. */
async function readAgain() {
  const path = "/api/v1/conferences";
  const { conferences } = await result(roomkeeper.GET(path, { params: { query: { limit: 200 } } }));
  const standups = conferences.filter((room) => room.name.startsWith("standup-"));
  for (const { room_id } of standups) {
    const request = { params: { path: { room_id }, query: { limit: 1000 } } };
    const { members } = await result(roomkeeper.GET(`${path}/{room_id}/members`, request));
    const present = members.map((member) => member.uuid);
    const room = roomState(room_id);
    room.waiting = room.waiting.filter((call) => present.includes(call));
    if (!present.includes(room.speaker)) room.speaker = null;
    room.waiting.push(...present.filter((call) => call !== room.speaker && !room.waiting.includes(call)));
    await nextTurn(room_id);
  }
  const { sessions } = await result(roomkeeper.GET("/api/v1/sessions", { params: { query: { limit: 200 } } }));
  for (const call of sessions) if (call.state === "parked") await place(call.uuid);
}

/** Names of the standup's rooms by id, as far as they were asked for. */
const standups = new Map();

async function isStandup(room_id) {
  if (!standups.has(room_id)) {
    const read = () => result(roomkeeper.GET("/api/v1/conferences/{room_id}", { params: { path: { room_id } } }));
    const room = await attempt(read);
    standups.set(room_id, room?.name.startsWith("standup-") ?? room_id in state.rooms);
  }
  return standups.get(room_id);
}

async function handle({ event, room_id, session_uuid, data }) {
  if (event === "stream.gap" || (event === "stream.open" && !data.resumed)) return readAgain();
  if (event === "call.new") return place(session_uuid);
  if (!event.startsWith("conference.") || !(await isStandup(room_id))) return undefined;
  if (event === "conference.member.joined") {
    leave(room_id, session_uuid);
    roomState(room_id).waiting.push(session_uuid);
  } else if (event === "conference.member.left") {
    leave(room_id, session_uuid);
  } else if (event === "conference.destroyed") {
    clearTimeout(timers.get(room_id));
    delete state.rooms[room_id];
    return undefined;
  }
  return nextTurn(room_id);
}

function fail(error) {
  // The state is stored: the supervisor of the process starts it again.
  console.error(error);
  process.exit(1);
}

async function main() {
  load();
  for (const [id, room] of Object.entries(state.rooms)) {
    if (room.speaker !== null) await beginTurn(id, room);
  }
  const events = ["call.new", "conference.member.joined", "conference.member.left", "conference.destroyed"];
  const stream = roomkeeper.followEvents({ events, lastEventId: state.lastEventId });
  console.log("following the events");
  for await (const { id, event } of stream) {
    await handle(event);
    if (id) state.lastEventId = id;
    save();
  }
}

main().catch(fail);
