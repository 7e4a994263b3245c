// Webhook endpoints: reading them and their deliveries, and the user's actions on them. They have no events, so the page reads
// them again after each action and at intervals.

import { path } from "./api.js";
import { ask, showSecret } from "./views/dialogs.js";

const PAGE = 50;
const EVENTS_HINT = "Names, or prefixes such as conference.member.*, separated by commas. * is every event.";

export function createHooks({ api, act, dispatch, getState, failed, selected }) {
  const hook = (id) => path`/webhooks/${id}`;

  async function readHooks() {
    try {
      const { webhooks } = await api.get("/webhooks");
      const rows = await Promise.all(webhooks.map(({ id }) => api.get(hook(id))));
      dispatch({ type: "hooks", rows });
    } catch (error) {
      // An endpoint that was removed between the two requests is missing from the next list.
      if (error.status !== 404 && failed(error)) dispatch({ type: "hooks", error: error.text });
    }
  }

  async function readDeliveries(of, status, cursor = "") {
    const query = `?limit=${PAGE}${status && `&status=${status}`}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`;
    try {
      const page = await api.get(`${hook(of)}/deliveries${query}`);
      const shown = getState().deliveries;
      if (shown.of !== of || shown.status !== status) return;
      const rows = cursor ? [...shown.rows, ...page.deliveries] : page.deliveries;
      dispatch({ type: "deliveries", change: { rows, cursor: page.cursor } });
    } catch (error) {
      if (failed(error)) dispatch({ type: "deliveries", change: { error: error.text } });
    }
  }

  function chooseDeliveries(of, status) {
    dispatch({ type: "deliveries", change: { of, status, rows: null, cursor: "" } });
    return readDeliveries(of, status);
  }

  /** Reads what the page shows. */
  function refresh() {
    readHooks();
    const id = selected();
    if (!id) return;
    const { of, status, rows } = getState().deliveries;
    if (of !== id) chooseDeliveries(id, "");
    // A user who has loaded earlier pages stays there.
    else if (rows === null || rows.length <= PAGE) readDeliveries(of, status);
  }

  /** Sends a request whose response is its confirmation. */
  async function press(key, label, send) {
    const answer = await act.press(key, true, label, send);
    act.cancel(key);
    refresh();
    return answer;
  }

  return {
    readHooks: refresh,
    chooseDeliveries,
    moreDeliveries: (of) => readDeliveries(of, getState().deliveries.status, getState().deliveries.cursor),

    async readBody(of, id) {
      if (getState().bodies.get(id)?.text) return;
      try {
        const { body } = await api.get(`${hook(of)}${path`/deliveries/${id}`}`);
        dispatch({ type: "body", id, text: JSON.stringify(body, null, 2) });
      } catch (error) {
        if (failed(error)) dispatch({ type: "body", id, error: error.text });
      }
    },

    sendAgain: (of, { id, event }) => press(`send:${id}`, `send ${event} again`, () => api.post(`${hook(of)}${path`/deliveries/${id}/redeliver`}`)),
    testHook: ({ id, url }) => press(`test:${id}`, `test ${url}`, () => api.post(`${hook(id)}/test`)),
    enableHook: ({ id, url }, enabled) => press(`enable:${id}`, `${enabled ? "enable" : "disable"} ${url}`, () => api.patch(hook(id), { enabled })),
    ...dialogs({ api, act, hook, refresh, dispatch }),
  };
}

const events = (text) => text.split(/[\s,]+/).filter(Boolean);

const fields = (url = "", filter = "*") => [
  { id: "url", label: "URL", value: url, placeholder: "https://app.example.com/hook" },
  { id: "events", label: "Events", value: filter, hint: EVENTS_HINT },
];

function dialogs({ api, act, hook, refresh, dispatch }) {
  const secret = (title, value, until = null) =>
    showSecret({
      title,
      text: `Copy the secret now: it is not shown again.${until ? ` Bodies are also signed with the previous secret until ${new Date(until).toLocaleString()}.` : ""}`,
      secret: value,
      act,
    });
  return {
    addHook: () =>
      ask({
        title: "Add a webhook endpoint",
        fields: fields(),
        submit: "Add",
        async action(values) {
          const made = await api.post("/webhooks", { url: values.url, events: events(values.events) });
          refresh();
          // The form closes first, and returns the focus.
          setTimeout(() => secret("The endpoint's signing secret", made.secret));
        },
      }),

    changeHook: ({ id, url, events: filter }) =>
      ask({
        title: "Change the endpoint",
        fields: fields(url, filter.join(", ")),
        submit: "Save",
        async action(values) {
          await api.patch(hook(id), { url: values.url, events: events(values.events) });
          refresh();
        },
      }),

    rotateSecret: ({ id, url }) =>
      ask({
        title: "Rotate the secret?",
        text: `${url} gets a new signing secret. For 24 hours bodies are signed with both.`,
        submit: "Rotate",
        async action() {
          const made = await api.post(`${hook(id)}/rotate-secret`);
          refresh();
          setTimeout(() => secret("The new signing secret", made.secret, made.replaced_until));
        },
      }),

    recoverHook: ({ id, url }) =>
      ask({
        title: "Send again what was given up",
        text: `Every delivery to ${url} that was given up or held is sent again, in order.`,
        fields: [
          {
            id: "hours",
            label: "Since",
            type: "select",
            options: [["1", "an hour ago"], ["24", "a day ago"], ["168", "a week ago"]].map(([value, label]) => ({ value, label })),
          },
        ],
        submit: "Recover",
        async action({ hours }) {
          const since = new Date(Date.now() - Number(hours) * 3_600_000).toISOString();
          const { recovered } = await api.post(`${hook(id)}/recover`, { since });
          dispatch({ type: "announce", text: `${recovered} deliveries are sent again` });
          refresh();
        },
      }),

    removeHook: ({ id, url }) =>
      ask({
        title: "Remove the endpoint?",
        text: `${url} gets no more events, and its pending deliveries are dropped.`,
        submit: "Remove",
        danger: true,
        async action() {
          await api.delete(hook(id));
          refresh();
        },
      }),
  };
}
