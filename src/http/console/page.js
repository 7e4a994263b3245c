// A page with a session: sign-in and sign-out, the frame, rendering, focus. The pages of apps and of operators share it.
//
// The key is only in sessionStorage and in the closure of the API.

import { ApiError } from "./api.js";
import { render } from "./dom.js";
import { closeAll } from "./views/dialogs.js";
import { shell } from "./views/shell.js";
import { signInView } from "./views/signin.js";

const theme = window.roomkeeperTheme;

/** The route in the URL's fragment: a place of the page, and the id in it. */
export function routeOf(views) {
  const [, place, id] = location.hash.split("/");
  const known = Object.hasOwn(views, place ?? "") ? place : Object.keys(views)[0];
  try {
    return { place: known, id: id ? decodeURIComponent(id) : null };
  } catch {
    // The fragment is not a valid link.
    return { place: known, id: null };
  }
}

/**
 * Creates a page. `storage`: the name of its key in sessionStorage. `begin(kept, setSession)` starts a session with
 * the stored key, if it is valid; a session has `state`, `act`, `list`, `who`, `end()` and `entered()`. `signIn`: `{text,
 * hasApp, wrong, check(appId, key)}`, where `check` returns what is stored, or throws. `titleOf(session, route)`: the title
 * of a detail, or null. `places(session)`: the navigation. `live`: the words while the connection works. `view(props)`: the
 * view of the route.
 */
export function createPage({ storage, begin, route, signIn, titleOf, places, live, view }) {
  const app = document.getElementById("app");
  const announcementRegion = document.getElementById("said");
  let session = null;
  let form = { error: null, busy: false, appId: "" };
  let scheduled = false;

  /** Schedules one rendering in the next frame. */
  function draw() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      paint();
    });
  }

  function paint() {
    const here = route();
    if (!session) {
      document.title = "Sign in · Roomkeeper";
      render(app, signInView({ ...form, appId: signIn.hasApp ? form.appId : null, text: signIn.text, signIn: tryKey }));
      return;
    }
    const { state } = session;
    const props = { state, route: here, now: Date.now(), act: session.act, list: session.list, theme: theme.get(), who: session.who, live, places: places(session) };
    document.title = `${titleOf(session, here) ?? here.place[0].toUpperCase() + here.place.slice(1)} · Roomkeeper`;
    render(app, shell(props, view(props)));
    if (announcementRegion.dataset.n !== String(state.announcement.n)) {
      announcementRegion.dataset.n = String(state.announcement.n);
      announcementRegion.textContent = state.announcement.text;
    }
  }

  /** Focuses the heading of a new view, so that Tab and a screen reader start there. */
  function focusView() {
    const heading = document.querySelector(route().id ? "main h2" : "main h1");
    (heading ?? document.getElementById("main"))?.focus({ preventScroll: false });
  }

  const focusForm = (id) => (document.getElementById(id) ?? document.getElementById("api-key")).focus();

  async function tryKey(appId, key) {
    if (form.busy) return;
    const fail = (error) => {
      form = { ...form, busy: false, error };
      paint();
      focusForm(appId || !signIn.hasApp ? "api-key" : "app-id");
    };
    if (!key || (signIn.hasApp && !appId)) return fail(signIn.hasApp ? "The app and its key are required." : "The key is required.");
    // They must be valid header values.
    if (!/^[\x21-\x7e]+$/.test(appId + key)) return fail(signIn.hasApp ? "The app or the key has invalid characters." : "The key has invalid characters.");
    form = { error: null, busy: true, appId };
    draw();
    let kept = null;
    try {
      kept = await signIn.check(appId, key);
    } catch (error) {
      const wrong = error instanceof ApiError && error.status === 401;
      return fail(wrong ? signIn.wrong : error.text ?? error.message);
    }
    sessionStorage.setItem(storage, JSON.stringify(kept));
    form = { error: null, busy: false, appId };
    start(kept);
    paint();
    focusView();
  }

  function start(kept) {
    begin(kept, (made) => {
      session = made;
    });
  }

  function signOut(error = null) {
    sessionStorage.removeItem(storage);
    session?.end();
    session = null;
    form = { error, busy: false, appId: error ? form.appId : "" };
    closeAll();
    app.replaceChildren();
    announcementRegion.textContent = "";
    paint();
    focusForm("app-id");
  }

  /** Restores the session of a reloaded tab. */
  function resume() {
    let kept = null;
    try {
      kept = JSON.parse(sessionStorage.getItem(storage));
    } catch {
      // The stored value is not valid.
    }
    if (kept) start(kept);
  }

  return {
    draw,
    signOut,
    nextTheme() {
      theme.next();
      draw();
    },
    run() {
      window.addEventListener("hashchange", () => {
        session?.entered();
        paint();
        if (session) focusView();
      });
      resume();
      paint();
      if (!session) focusForm("app-id");
    },
  };
}
