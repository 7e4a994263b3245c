// Actions of the user, one function per button; those of members are the table in `commands.js`. Each sends a request,
// marks the command as pending, and shows the API's error text.
//
// A 202 is no confirmation: mute, lock and the others are shown as done when FreeSWITCH's event has arrived. A command that
// is too early (429) waits for the cooldown, visibly, and is then sent by itself.

import { path } from "./api.js";
import { MEMBER_FLAGS, pendingKey } from "./commands.js";
import { sender } from "./sending.js";
import { counts, roomsByName } from "./selectors.js";
import { ask } from "./views/dialogs.js";

const NAME = "[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}";

/** The number of commands that "mute all" sends at the same time. */
const PARALLEL = 4;

export function createActions({ api, ids, dispatch, getState, go, readNodes, refused }) {
  const send = sender({ dispatch, getState, uid: ids.commandUid, refused });
  const room = (id) => path`/conferences/${id}`;
  const answered = (body) => dispatch({ type: "event", event: "answer", at: Date.now(), body });

  return {
    ...send,
    ...memberActions({ api, getState, dispatch, send }),
    ...playback({ api, send }),
    ...calls({ api, getState, dispatch, send }),

    async lock({ id, name }, want) {
      const answer = await send.press(`lock:${id}`, want, `${want ? "lock" : "unlock"} ${name}`, (body) => api.post(`${room(id)}/${want ? "lock" : "unlock"}`, body));
      // Nothing had to be done: no event comes, or it has already come.
      if (answer && answer.status !== "in_progress") answered({ event: "conference.updated", room_id: id, data: { locked: want } });
    },

    record: ({ id, name }, want) =>
      send.press(`record:${id}`, want, `${want ? "record" : "stop recording"} ${name}`, (body) => api.post(`${room(id)}/recording/${want ? "start" : "stop"}`, body)),

    dial({ id, name }) {
      ask({
        title: `Call into ${name}`,
        text: "The callee joins the room once it answers.",
        fields: [
          { id: "to", label: "Number or SIP address", maxlength: "400", placeholder: "+493012345" },
          { id: "from", label: "Caller's number", required: false, maxlength: "33", hint: "The number that the callee sees." },
        ],
        submit: "Call",
        // The webhooks of its progress follow for as long as the telephone rings.
        action: ({ to, from }) => api.post(`${room(id)}/calls`, { command_uid: ids.commandUid(), to: to.trim(), ...(from?.trim() && { from: from.trim() }) }),
      });
    },

    createRoom() {
      readNodes();
      const nodes = (getState().nodes.rows ?? []).filter((node) => node.state === "up" && !node.draining);
      ask({
        title: "New room",
        fields: [
          { id: "name", label: "Name", pattern: NAME, hint: "1 to 64 letters, digits, _ and -; the first is a letter or a digit.", maxlength: "64" },
          {
            id: "node",
            label: "Node",
            type: "select",
            required: false,
            options: [{ value: "", label: "Least loaded" }, ...nodes.map((node) => ({ value: node.id, label: `${node.id} (${node.calls} calls)` }))],
          },
        ],
        submit: "Create",
        async action({ name, node }) {
          const { room_id: id } = await api.post("/conferences", node ? { name, node } : { name });
          // The event may have arrived already; it has the same content.
          answered({ event: "conference.created", room_id: id, data: { name } });
          go(`#/rooms/${encodeURIComponent(id)}`);
        },
      });
    },

    deleteRoom({ id, name }, count) {
      ask({
        title: `Delete ${name}?`,
        text: count === 0 ? "The room is empty." : `${count === 1 ? "1 member goes" : `${count} members go`} back to park.`,
        submit: "Delete",
        danger: true,
        action: (_, waits) => send.submit(`delete:${id}`, true, `delete ${name}`, () => api.delete(room(id)), waits),
      });
    },
  };
}

function memberActions({ api, getState, dispatch, send }) {
  const post = (command, at, inRoom, member) => (body) =>
    api.post(at.address(encodeURIComponent(inRoom.id), encodeURIComponent(member.uuid)), { ...body, ...command.body });

  function sendCommand(command, inRoom, member, how = send.press) {
    const at = command.stepFor(member);
    const want = command.field === null ? true : at === command.steps[0];
    return how(pendingKey(command, member.uuid), want, `${at.command} ${member.callerId}`, post(command, at, inRoom, member));
  }

  /** Sets a flag of all members, a few at a time. */
  async function setAll(flag, inRoom, want) {
    const at = flag.steps[want ? 0 : 1];
    const label = `${at.command} all in ${inRoom.name}`;
    const key = `${flag.id}-all:${inRoom.id}`;
    const members = () => [...(getState().members.get(inRoom.id)?.values() ?? [])];
    const todo = members().filter((member) => member[flag.field] !== want);
    const failures = [];
    // The deadline is that of each command.
    dispatch({ type: "requested", key, want, label, at: Date.now(), until: Infinity });
    const submit = (...args) => send.submit(...args).catch((error) => failures.push(error));
    async function work() {
      for (let member = todo.pop(); member && getState().pending.has(key); member = todo.pop()) {
        // It may have changed meanwhile.
        const now = getState().members.get(inRoom.id)?.get(member.uuid);
        if (now && now[flag.field] !== want) await sendCommand(flag, inRoom, now, submit);
      }
    }
    await Promise.all(Array.from({ length: PARALLEL }, work));
    dispatch({ type: "settled", key });
    if (failures.length > 0) send.showError(`${label}: ${failures.length} failed`, failures[0]);
  }

  return {
    setAll: (field, inRoom, want) => setAll(MEMBER_FLAGS.find((flag) => flag.field === field), inRoom, want),

    /** Sends a command of the table, after its question if it has one. */
    runCommand(command, inRoom, member) {
      if (!command.confirm && !command.fields) return sendCommand(command, inRoom, member);
      const name = member.callerId || "this call";
      const [title, text, submit] = command.confirm ?? [`${command.steps[0].label} {}`, null, command.steps[0].label];
      return ask({
        title: title.replace("{}", name),
        text,
        fields: command.fields?.({ state: getState(), room: inRoom, member }) ?? [],
        submit,
        danger: command.danger === true,
        action: (body, waits) => sendCommand({ ...command, body }, inRoom, member, (...args) => send.submit(...args, waits)),
      });
    },
  };
}

function playback({ api, send }) {
  const room = (id) => path`/conferences/${id}`;
  /** room id → the volume that the user chose last, and the one that is being sent. */
  const volumes = new Map();
  return {
    pause: ({ id, name }, want) =>
      send.press(`pause:${id}`, want, `${want ? "pause" : "resume"} playback in ${name}`, (body) => api.post(`${room(id)}/pause`, body)),

    stop: ({ id, name }) => send.press(`stop:${id}`, true, `stop playback in ${name}`, (body) => api.post(`${room(id)}/stop`, body)),

    /** Sends the latest volume that the user chose; false if it was refused. */
    async volume({ id, name }, value) {
      const running = volumes.has(id);
      volumes.set(id, value);
      if (running) return true;
      let sent = null;
      let good = true;
      while (good && volumes.get(id) !== sent) {
        sent = volumes.get(id);
        good = (await send.press(`volume:${id}`, sent, `set the volume in ${name}`, (body) => api.post(`${room(id)}/volume`, { ...body, volume: sent }))) !== null;
      }
      volumes.delete(id);
      return good;
    },

    play: ({ id, name }) =>
      ask({
        title: `Play to ${name}`,
        fields: [
          {
            id: "urls",
            label: "URLs, one per line",
            type: "lines",
            hint: "http or https. The files are queued after those that already play.",
            placeholder: "https://cdn.example.com/announcement.wav",
          },
        ],
        submit: "Play",
        action: ({ urls }, waits) =>
          send.submit(`play:${id}`, true, `play to ${name}`, (body) => api.post(`${room(id)}/play`, { ...body, urls: urls.split(/\s+/).filter(Boolean) }), waits),
      }),
  };
}

function calls({ api, getState, dispatch, send }) {
  return {
    join(call) {
      const state = getState();
      const many = counts(state);
      const rooms = roomsByName(state).filter((one) => one.node === call.node);
      if (rooms.length === 0) {
        dispatch({ type: "notice", kind: "error", text: `There is no room on ${call.node}, the node of ${call.callerId}. Create one there first.` });
        return;
      }
      ask({
        title: `Join ${call.callerId}`,
        text: `Only rooms on the call's node, ${call.node}, can be joined.`,
        fields: [
          {
            id: "to",
            label: "Room",
            type: "select",
            options: rooms.map((one) => ({ value: one.id, label: `${one.name} (${many.get(one.id) ?? 0})${one.locked ? ", locked" : ""}` })),
          },
          {
            id: "muted",
            label: "Joins",
            type: "select",
            options: [
              { value: "yes", label: "Muted" },
              { value: "no", label: "Unmuted" },
            ],
          },
        ],
        submit: "Join",
        action: ({ to, muted }, waits) =>
          send.submit(`join:${call.uuid}`, true, `join ${call.callerId}`, (body) => api.post(path`/sessions/${call.uuid}/commands/conference/join`, { ...body, room_id: to, muted: muted === "yes" }), waits),
      });
    },

    hangup(call) {
      ask({
        title: `Hang up ${call.callerId || "this call"}?`,
        text: "The call ends.",
        submit: "Hang up",
        danger: true,
        action: (_, waits) => send.submit(`hangup:${call.uuid}`, true, `hang up ${call.callerId}`, (body) => api.post(path`/sessions/${call.uuid}/commands/hangup`, body), waits),
      });
    },
  };
}

