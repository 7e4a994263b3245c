// Actions of the user, one function per button; those of members are the table in `commands.js`. Each sends a request,
// marks the command as pending, and shows the API's error text.
//
// A 202 is no confirmation: mute, lock and the others are shown as done when FreeSWITCH's event has arrived. A command that
// is too early (429) waits for the cooldown, visibly, and is then sent by itself.

import { path } from "./api.js";
import { commandOf, pendingKey } from "./commands.js";
import { sender } from "./sending.js";
import { counts, roomsByName } from "./selectors.js";
import { ask } from "./views/dialogs.js";

const NAME = "[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}";

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

    /** Cancels a call to the outside that was not answered yet. */
    cancelDial: ({ id, name }, { id: dial, to }) =>
      send.press(`cancel:${dial}`, true, `cancel the call to ${to} into ${name}`, () => api.delete(`${room(id)}${path`/calls/${dial}`}`)),

    pauseRecording: ({ id, name }, want) =>
      send.press(`record-pause:${id}`, want, `${want ? "pause" : "resume"} the recording of ${name}`, (body) => api.post(`${room(id)}/recording/${want ? "pause" : "resume"}`, body)),

    changeMusic({ id, name, aloneUrl, waitUrl, waits }) {
      const before = { alone_url: aloneUrl ?? "", wait_for_moderator: waits ? "yes" : "", wait_url: waitUrl ?? "" };
      const url = (name, label) => ({ id: name, label, required: false, maxlength: "512", value: before[name], hint: "http or https. Empty: none." });
      ask({
        title: `Music of ${name}`,
        fields: [
          url("alone_url", "Music for a lone member (URL)"),
          { id: "wait_for_moderator", label: "Members wait for a moderator", type: "select", required: false, value: before.wait_for_moderator, options: [{ value: "", label: "No" }, { value: "yes", label: "Yes" }] },
          url("wait_url", "Music for waiting members (URL)"),
        ],
        submit: "Save",
        async action(values, waitsOf) {
          // Only what the user changed, because others change settings, too. `false` removes one.
          const changed = Object.entries(values).filter(([field, value]) => value !== before[field]);
          if (changed.length === 0) return;
          const settings = Object.fromEntries(changed.map(([field, value]) => [field, field === "wait_for_moderator" ? value === "yes" : value || false]));
          const key = `music:${id}`;
          const answer = await send.submit(key, true, `change the music of ${name}`, (body) => api.patch(room(id), { ...body, ...settings }), waitsOf);
          if (answer?.status === "unchanged") dispatch({ type: "settled", key });
        },
      });
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
        async action({ to, from }) {
          await api.post(`${room(id)}/calls`, { command_uid: ids.commandUid(), to: to.trim(), ...(from?.trim() && { from: from.trim() }) });
          dispatch({ type: "doubt", room: id });
        },
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
  async function sendCommand(command, values, inRoom, member, how) {
    const at = command.stepFor(member);
    const want = command.field === null ? true : at === command.steps[0];
    const address = at.address(encodeURIComponent(inRoom.id), encodeURIComponent(member.uuid));
    const fields = at.body ? at.body(values) : values;
    const key = pendingKey(command, member.uuid);
    const answer = await how(key, want, `${at.command} ${member.callerId}`, (body) => (at.patch ? api.patch : api.post)(address, { ...body, ...fields }));
    // No event comes.
    if (answer?.status === "unchanged") dispatch({ type: "settled", key });
  }

  return {
    /** Mutes or unmutes all members by one request. Each of them is pending until its own event. */
    async muteAll(inRoom, want, exceptModerators) {
      const mute = commandOf("mute");
      const label = `${want ? "mute" : "unmute"} all in ${inRoom.name}`;
      const members = [...(getState().members.get(inRoom.id)?.values() ?? [])];
      const changed = members.filter((member) => member.muted !== want && !(exceptModerators && member.moderator));
      const keys = new Map(changed.map((member) => [member.uuid, pendingKey(mute, member.uuid)]));
      const key = `mute-all:${inRoom.id}`;
      const begin = (body) => {
        for (const one of keys.values()) dispatch({ type: "requested", key: one, want, label, at: Date.now() });
        return api.post(path`/conferences/${inRoom.id}` + (want ? "/mute" : "/unmute"), { ...body, except_moderators: exceptModerators });
      };
      const answer = await send.press(key, want, label, begin);
      dispatch({ type: "settled", key });
      const failed = answer ? answer.failed : changed.map(({ uuid }) => ({ session: uuid }));
      for (const { session } of failed) if (keys.has(session)) dispatch({ type: "settled", key: keys.get(session) });
      if (answer?.failed.length > 0) dispatch({ type: "notice", kind: "error", text: `${label}: ${failed.length} failed: ${failed[0].error}` });
    },

    /** Sends a command of the table, after its question if it has one. */
    runCommand(command, inRoom, member) {
      const at = command.stepFor(member);
      if (!command.confirm && !at.fields) return sendCommand(command, {}, inRoom, member, send.press);
      const name = member.callerId || "this call";
      const plain = at.label.replace(" …", "");
      const [title, text, submit] = command.confirm ?? [`${plain}: {}`, at.text ?? null, plain];
      return ask({
        title: title.replace("{}", name),
        text,
        fields: at.fields?.({ state: getState(), room: inRoom, member }) ?? [],
        submit,
        danger: command.danger === true,
        action: (values, waits) => sendCommand(command, values, inRoom, member, (...args) => send.submit(...args, waits)),
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

    say: ({ id, name }) =>
      ask({
        title: `Say to ${name}`,
        fields: [{ id: "text", label: "Text", type: "lines", maxlength: "4096", hint: "Spoken to all members, after what plays already." }],
        submit: "Say",
        action: ({ text }, waits) => send.submit(`say:${id}`, true, `say to ${name}`, (body) => api.post(`${room(id)}/say`, { ...body, text }), waits),
      }),

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

