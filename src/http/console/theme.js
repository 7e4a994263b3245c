// The colour theme: light, dark, or the system's. Not a module: it runs before the first paint.
"use strict";

window.roomkeeperTheme = (() => {
  const NAME = "roomkeeper-theme";
  const CHOICES = ["auto", "light", "dark"];
  let chosen = "auto";
  try {
    chosen = localStorage.getItem(NAME);
  } catch {
    // Storage may be disabled: then the choice is not stored.
  }
  if (!CHOICES.includes(chosen)) chosen = "auto";
  const show = () => {
    document.documentElement.dataset.theme = chosen;
  };
  show();
  return {
    get: () => chosen,
    next() {
      chosen = CHOICES[(CHOICES.indexOf(chosen) + 1) % CHOICES.length];
      show();
      try {
        localStorage.setItem(NAME, chosen);
      } catch {
        // As above.
      }
    },
  };
})();
