// Light, dark, or as the system has it. Not a module: it runs before anything is painted.
"use strict";

window.roomkeeperTheme = (() => {
  const NAME = "roomkeeper-theme";
  const CHOICES = ["auto", "light", "dark"];
  let chosen = "auto";
  try {
    chosen = localStorage.getItem(NAME);
  } catch {
    // Storage may be forbidden: then it is not remembered.
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
