// Commands of the user, one function per button. Each sends a request, marks the command as pending, and shows the API's
// error text.
//
// A 202 is no confirmation: mute, lock and the others are shown as done when FreeSWITCH's event has arrived.

import { ApiError, commandUid, path } from "./api.js";
import { pendingKey } from "./flags.js";
import { counts } from "./state.js";
import { ask } from "./views/dialogs.js";

const NAME = "[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}";

export function createCommands({ api, dispatch, getState, go, readNodes, refused }) {
  /** Sends a command that an event will confirm under this key. */
  async function submit(key, want, label, send) {
    dispatch({ type: "requested", key, want, label, at: Date.now() });
    try {
      return await send({ command_uid: commandUid() });
    } catch (error) {
      // After a timeout the command stays pending until its deadline, because the event may still come.
      if (!(error instanceof ApiError && error.status === 504)) dispatch({ type: "settled", key });
      throw error;
    }
  }

  /** The same for a button without a dialog: errors become notices. */
  async function press(key, want, label, send) {
    try {
      return await submit(key, want, label, send);
    } catch (error) {
      showError(label, error);
      return null;
    }
  }

  function showError(label, error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) refused(error.text);
    else dispatch({ type: "notice", kind: "error", text: `${label}: ${error.text}` });
  }

  const of = (session) => `/sessions/${encodeURIComponent(session)}/commands`;
  const room = (id) => `/conferences/${encodeURIComponent(id)}`;

  return {
    setFlag(flag, inRoom, member, want) {
      const { command } = want ? flag.set : flag.clear;
      const address = flag.path(encodeURIComponent(inRoom.id), encodeURIComponent(member.uuid), command);
      return press(pendingKey(flag, member.uuid), want, `${command} ${member.callerId}`, (body) => api.post(address, body));
    },

    kick: (inRoom, member) =>
      press(`kick:${member.uuid}`, true, `kick ${member.callerId}`, (body) =>
        api.post(path`/conferences/${inRoom.id}/members/${member.uuid}/kick`, body),
      ),

    async lock({ id, name }, want) {
      const key = `lock:${id}`;
      const answer = await press(key, want, `${want ? "lock" : "unlock"} ${name}`, (body) => api.post(`${room(id)}/${want ? "lock" : "unlock"}`, body));
      // Nothing had to be done: no event comes, or it has already come.
      if (answer && answer.status !== "in_progress") dispatch({ type: "event", event: "answer", at: Date.now(), body: { event: "conference.updated", room_id: id, data: { locked: want } } });
    },

    record: ({ id, name }, want) =>
      press(`record:${id}`, want, `${want ? "record" : "stop recording"} ${name}`, (body) => api.post(`${room(id)}/recording/${want ? "start" : "stop"}`, body)),

    stop: ({ id, name }) => press(`stop:${id}`, true, `stop playback in ${name}`, (body) => api.post(`${room(id)}/stop`, body)),

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
        action: ({ urls }) =>
          submit(`play:${id}`, true, `play to ${name}`, (body) =>
            api.post(`${room(id)}/play`, { ...body, urls: urls.split(/\s+/).filter(Boolean) }),
          ),
      }),

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
          dispatch({ type: "event", event: "answer", at: Date.now(), body: { event: "conference.created", room_id: id, data: { name } } });
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
        action: () => submit(`delete:${id}`, true, `delete ${name}`, () => api.delete(room(id))),
      });
    },

    join(call) {
      const state = getState();
      const many = counts(state);
      const rooms = [...state.rooms.values()].filter((one) => one.node === call.node).sort((a, b) => a.name.localeCompare(b.name));
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
        action: ({ to, muted }) =>
          submit(`join:${call.uuid}`, true, `join ${call.callerId}`, (body) =>
            api.post(`${of(call.uuid)}/conference/join`, { ...body, room_id: to, muted: muted === "yes" }),
          ),
      });
    },

    hangup(call) {
      ask({
        title: `Hang up ${call.callerId}?`,
        text: "The call ends.",
        submit: "Hang up",
        danger: true,
        action: () => submit(`hangup:${call.uuid}`, true, `hang up ${call.callerId}`, (body) => api.post(`${of(call.uuid)}/hangup`, body)),
      });
    },

    /** Resolves when the delivery is queued; to `null` if it was refused. */
    async sendAgain(hook, delivery) {
      const key = `send:${delivery.id}`;
      const answer = await press(key, true, `send ${delivery.event} again`, () => api.post(path`/webhooks/${hook}/deliveries/${delivery.id}/redeliver`));
      dispatch({ type: "settled", key });
      return answer;
    },
  };
}
