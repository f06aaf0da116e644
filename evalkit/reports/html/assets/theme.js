// What the scripts say, in the page's language: `says` holds it.
const evalkitSay = (key, values = {}) => {
  evalkitSay.known ??= JSON.parse(document.getElementById("says").textContent);
  return evalkitSay.known[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
};
// Light or dark: as the system has it, until the button says otherwise.
(() => {
  "use strict";
  const root = document.documentElement;
  const names = { "": "system", light: "light", dark: "dark" };
  const remembered = () => {
    try { return localStorage.getItem("evalkit-theme") || ""; } catch { return ""; }
  };
  const wear = (theme) => {
    if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
  };
  let theme = remembered() in names ? remembered() : "";
  wear(theme);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = button.querySelector("span");
    label.textContent = evalkitSay(names[theme]);
    button.hidden = false;
    button.addEventListener("click", () => {
      const order = Object.keys(names);
      theme = order[(order.indexOf(theme) + 1) % order.length];
      wear(theme);
      label.textContent = evalkitSay(names[theme]);
      try { localStorage.setItem("evalkit-theme", theme); } catch { /* not kept, then */ }
    });
  });
  // On paper nothing can be opened any more.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
})();
