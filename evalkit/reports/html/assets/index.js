// The table of runs: searched, filtered by system and verdict, sorted by its heads. The view
// stands in the address as key=value pairs. Without this script everything is shown.
(() => {
  "use strict";
  const table = document.getElementById("runs");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const texts = rows.map((row) => row.textContent.toLocaleLowerCase());
  const systems = [...document.querySelectorAll("details.system")];
  const [words, system, verdict, found] =
    ["words", "system", "verdict", "found"].map((id) => document.getElementById(id));
  const numeric = new Set(["passed", "value"]);
  let sort = "";

  const filter = () => {
    const sought = words.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, place) => {
      row.hidden = (system.value && row.dataset.system !== system.value)
        || (verdict.value && row.dataset.said !== verdict.value)
        || !sought.every((word) => texts[place].includes(word));
      count += !row.hidden;
    });
    for (const one of systems) {
      one.hidden = Boolean(system.value) && one.dataset.system !== system.value;
      if (system.value && !one.hidden) one.open = true;
    }
    found.textContent = evalkitSay(count === rows.length ? "runs" : "some_runs", { n: count, all: rows.length });
  };
  const heads = [...table.tHead.querySelectorAll("th")];
  const order = () => {
    const key = sort.replace(/^-/, "");
    const sign = sort.startsWith("-") ? -1 : 1;
    const sorted = rows.slice();
    if (key) {
      sorted.sort((a, b) => {
        const [x, y] = [a.dataset[key], b.dataset[key]];
        if (!x || !y) return !x - !y; // what is not known comes last
        return sign * (numeric.has(key) ? x - y : x < y ? -1 : x > y ? 1 : 0);
      });
    }
    body.append(...sorted);
    for (const head of heads) {
      const by = head.dataset.key === key;
      if (by) head.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.querySelector(".arrow").textContent = by ? (sort.startsWith("-") ? " ▼" : " ▲") : "";
    }
  };
  const remember = () => {
    const view = new URLSearchParams();
    for (const [name, value] of [["q", words.value], ["system", system.value], ["verdict", verdict.value], ["sort", sort]]) {
      if (value) view.set(name, value);
    }
    history.replaceState(null, "", view.size ? `#${view}` : location.pathname + location.search);
  };
  const recall = () => {
    const view = new URLSearchParams(location.hash.slice(1));
    words.value = view.get("q") || "";
    system.value = view.get("system") || "";
    verdict.value = view.get("verdict") || "";
    if (!system.value) system.value = "";
    if (!verdict.value) verdict.value = "";
    const asked = view.get("sort") || "";
    sort = heads.some((head) => head.dataset.key === asked.replace(/^-/, "")) ? asked : "";
    filter();
    order();
  };
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    const arrow = document.createElement("span");
    arrow.className = "arrow";
    arrow.setAttribute("aria-hidden", "true");
    button.append(head.textContent, arrow);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      // Up, down, and back to the latest first.
      const key = head.dataset.key;
      sort = sort === key ? `-${key}` : sort === `-${key}` ? "" : key;
      order();
      remember();
    });
  }
  for (const [control, event] of [[words, "input"], [system, "change"], [verdict, "change"]]) {
    control.addEventListener(event, () => { filter(); remember(); });
  }
  addEventListener("hashchange", recall);
  document.getElementById("controls").hidden = false;
  recall();
})();
