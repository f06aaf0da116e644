// A table to search, filter, sort and page, of rows in a JSON block:
//
//   evalkitTable(box, {rows, columns: [{key, title, kind, data, ...}], caption, size})
//
// Data lies by column; `rows` says how many there are. The kinds:
//   text    data: strings
//   texts   data: arrays of strings; parts: what each is called
//   enum    data: places in `values`, or null
//   number  data: numbers or null; percent: people read them in percent; digits: 2 by default
//   set     data: arrays of places in `values`; any, none: what the filter calls these
// More of a column: hidden (only in the opened row), filter (false for none, or its title), note (a
// tooltip), marks (of enum and set: 1 where right, 0 where wrong).
//
// Everything from the data becomes a text node: nothing of it is ever read as HTML. The view (search,
// filters, order, page) stands in the address's hash as key=value pairs, so that it can be linked.
"use strict";

const evalkitText = (() => {
  const harmful = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029]/gu;
  const left = new Set(["\n", "\t", "\u200c", "\u200d"]);
  const escape = (c) => {
    const code = c.codePointAt(0);
    if (code < 256) return "\\x" + code.toString(16).padStart(2, "0");
    if (code < 65536) return "\\u" + code.toString(16).padStart(4, "0");
    return "\\U" + code.toString(16).padStart(8, "0");
  };
  // Untrusted text as an element of its own direction, unseen characters as escapes.
  return (text) => {
    const bdi = document.createElement("bdi");
    let from = 0;
    for (const found of text.matchAll(harmful)) {
      if (left.has(found[0])) continue;
      bdi.append(text.slice(from, found.index));
      const mark = document.createElement("span");
      mark.className = "unseen";
      mark.textContent = escape(found[0]);
      bdi.append(mark);
      from = found.index + found[0].length;
    }
    bdi.append(text.slice(from));
    return bdi;
  };
})();

function evalkitTable(box, spec) {
  const CUT = 240;
  const columns = spec.columns;
  const byKey = new Map(columns.map((c) => [c.key, c]));
  const count = spec.rows;
  const say = evalkitSay;
  const sizes = [50, 100, 250, 1000];
  const start = () => ({ q: "", sort: "", page: 1, size: spec.size || 50, by: new Map() });
  let view = start();
  let shown = [];
  let haystacks = null;
  const controls = new Map();
  const open = new Set();

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") element.textContent = value;
      else if (name === "on") for (const [event, f] of Object.entries(value)) element.addEventListener(event, f);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };
  const number = (n) => n.toLocaleString("en");
  const plural = (n) => say("rows", { n: number(n) });
  const amount = (column, x) => column.percent
    ? (100 * x).toFixed(1) + "%" : x.toFixed(column.digits === undefined ? 2 : column.digits);

  // What a row says in a column, as text.
  const words = (column, row) => {
    const x = column.data[row];
    if (x === null || x === undefined) return "";
    switch (column.kind) {
      case "enum": return column.values[x];
      case "set": return x.map((place) => column.values[place]).join(" ");
      case "texts": return x.join("\n");
      case "number": return amount(column, x);
      default: return x;
    }
  };

  // --- The view in the address.
  const isView = (hash) => hash.includes("=");
  const readHash = () => {
    const hash = location.hash.slice(1);
    if (!isView(hash)) return false;
    view = start();
    for (const [name, value] of new URLSearchParams(hash)) {
      if (name === "q") view.q = value;
      else if (name === "sort") { if (byKey.has(value.replace(/^-/, ""))) view.sort = value; }
      else if (name === "page") view.page = Math.max(1, parseInt(value, 10) || 1);
      else if (name === "size") { if (sizes.includes(Number(value))) view.size = Number(value); }
      else if (byKey.has(name.replace(/\.(min|max)$/, ""))) view.by.set(name, value);
    }
    return true;
  };
  const writeHash = () => {
    const said = new URLSearchParams();
    if (view.q) said.set("q", view.q);
    for (const [name, value] of view.by) said.set(name, value);
    if (view.sort) said.set("sort", view.sort);
    if (view.page > 1) said.set("page", view.page);
    if (view.size !== (spec.size || 50)) said.set("size", view.size);
    const hash = said.toString();
    if (hash || isView(location.hash)) {
      history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
    }
  };

  // --- Which rows.
  const tests = () => {
    const found = [];
    for (const [name, value] of view.by) {
      const bound = name.match(/^(.*)\.(min|max)$/);
      const column = byKey.get(bound && !byKey.has(name) ? bound[1] : name);
      const data = column.data;
      if (column.kind === "number" && bound) {
        const limit = Number(value) / (column.percent ? 100 : 1);
        if (value === "" || Number.isNaN(limit)) continue;
        found.push(bound[2] === "min"
          ? (row) => data[row] !== null && data[row] >= limit - 1e-9
          : (row) => data[row] !== null && data[row] <= limit + 1e-9);
      } else if (column.kind === "enum") {
        const place = column.values.indexOf(value);
        found.push((row) => data[row] === place);
      } else if (column.kind === "set") {
        if (value === "*") found.push((row) => data[row].length > 0);
        else if (value === "-") found.push((row) => data[row].length === 0);
        else {
          const place = column.values.indexOf(value);
          found.push((row) => data[row].includes(place));
        }
      }
    }
    const sought = view.q.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    if (sought.length) {
      if (!haystacks) {
        const searched = columns.filter((c) => c.kind !== "number");
        haystacks = Array.from({ length: count }, (_, row) =>
          searched.map((c) => words(c, row)).join("\n").toLocaleLowerCase());
      }
      found.push((row) => sought.every((word) => haystacks[row].includes(word)));
    }
    return found;
  };
  const collator = new Intl.Collator(undefined, { numeric: true });
  const order = (rows) => {
    const column = byKey.get(view.sort.replace(/^-/, ""));
    if (!column) return rows;
    const sign = view.sort.startsWith("-") ? -1 : 1;
    const data = column.data;
    let key = (row) => data[row];
    if (column.kind === "set") key = (row) => data[row].length || null;
    if (column.kind === "texts") key = (row) => data[row].join(" ");
    const compare = column.kind === "text" || column.kind === "texts"
      ? (a, b) => collator.compare(a, b) : (a, b) => a - b;
    const keyed = rows.map((row) => [key(row), row]);
    keyed.sort(([a, i], [b, j]) => {
      if (a === null || b === null) return (a === null) - (b === null) || i - j;
      return sign * compare(a, b) || i - j;
    });
    return keyed.map(([, row]) => row);
  };
  const choose = () => {
    const all = tests();
    const rows = [];
    for (let row = 0; row < count; row++) if (all.every((test) => test(row))) rows.push(row);
    shown = order(rows);
    view.page = Math.min(view.page, Math.max(1, Math.ceil(shown.length / view.size)));
  };

  // --- What is drawn.
  const columnsShown = columns.filter((c) => !c.hidden);
  const cutText = (text) => {
    if (text.length <= CUT) return text;
    const end = /[\ud800-\udbff]/.test(text[CUT - 1]) ? CUT - 1 : CUT;
    return text.slice(0, end) + "…";
  };
  const mark = (column, row) => {
    const right = column.marks ? column.marks[row] : null;
    const box = make("div");
    if (right !== null && right !== undefined) {
      box.className = right ? "right" : "wrong";
      box.append(
        make("span", { "aria-hidden": "true", text: right ? "✓ " : "✗ " }),
        make("span", { class: "visually-hidden", text: say(right ? "right" : "wrong") }));
    }
    return box;
  };
  const tags = (column, row) => column.data[row].map((place) =>
    make("span", { class: "tag" }, evalkitText(cutText(column.values[place]))));
  const cell = (column, row) => {
    const x = column.data[row];
    switch (column.kind) {
      case "number":
        return make("td", { class: "n", text: x === null ? "" : amount(column, x) });
      case "set": {
        const box = mark(column, row);
        box.append(...tags(column, row));
        return make("td", {}, box);
      }
      case "enum": {
        if (x === null) return make("td");
        const box = mark(column, row);
        const text = column.values[x];
        if (text.length > 24) box.classList.add("cut");
        box.append(evalkitText(cutText(text)));
        return make("td", { class: text.length > 24 ? "text" : "short" }, box);
      }
      case "texts": {
        const cut = make("div", { class: "cut" });
        x.forEach((text, place) => {
          if (!text) return;
          const part = make("span", { title: column.parts[place] }, evalkitText(cutText(text)));
          if (cut.childNodes.length) cut.append(make("span", { class: "part", text: " · " }));
          cut.append(part);
        });
        return make("td", { class: "text" }, cut);
      }
      default: {
        if (x.length <= 24) return make("td", { class: "short" }, evalkitText(x));
        return make("td", { class: "text" }, make("div", { class: "cut" }, evalkitText(cutText(x))));
      }
    }
  };
  const whole = (row) => {
    const list = make("dl", { class: "whole" });
    const add = (name, value, box = make("div")) => {
      box.append(value);
      list.append(make("dt", { text: name }), make("dd", {}, box));
    };
    for (const column of columns) {
      const x = column.data[row];
      if (x === null || x === undefined || x.length === 0) continue;
      if (column.kind === "texts") {
        x.forEach((text, place) => { if (text) add(column.parts[place], evalkitText(text)); });
      } else if (column.kind === "set") {
        add(column.title, make("span", {}, ...x.map((place) =>
          make("span", { class: "tag" }, evalkitText(column.values[place])))), mark(column, row));
      } else add(column.title, evalkitText(words(column, row)), mark(column, row));
    }
    return list;
  };
  // On a phone a row is a card, where each value stands behind the name of its column.
  const named = (td, column) => { if (td.textContent) td.dataset.name = column.title; return td; };
  let bodies = [];
  const drawRow = (row) => {
    const body = make("tbody", { "data-row": row });
    const toggle = make("button", {
      type: "button", class: "open", "aria-expanded": open.has(row) ? "true" : "false",
      "aria-label": say("all_of", { row: words(columns[0], row).slice(0, 80) }),
    });
    const line = make("tr", {}, make("td", {}, toggle), ...columnsShown.map((c) => named(cell(c, row), c)));
    body.append(line);
    const more = () => make("tr", { class: "more" },
      make("td", { colspan: columnsShown.length + 1 }, whole(row)));
    if (open.has(row)) body.append(more());
    toggle.addEventListener("click", () => {
      if (open.delete(row)) body.lastChild.remove();
      else { open.add(row); body.append(more()); }
      toggle.setAttribute("aria-expanded", open.has(row) ? "true" : "false");
    });
    return body;
  };
  const draw = () => {
    const from = (view.page - 1) * view.size;
    const rows = shown.slice(from, from + view.size);
    bodies.forEach((body) => body.remove());
    bodies = rows.map(drawRow);
    table.append(...bodies);
    for (const [key, head] of heads) {
      const by = view.sort.replace(/^-/, "") === key;
      if (by) head.setAttribute("aria-sort", view.sort.startsWith("-") ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.querySelector(".arrow").textContent = by ? (view.sort.startsWith("-") ? " ▼" : " ▲") : "";
    }
    const pages = Math.max(1, Math.ceil(shown.length / view.size));
    found.textContent = (shown.length === count ? plural(count)
      : say("some_rows", { n: number(shown.length), all: number(count) }))
      + (shown.length > view.size
        ? say("shown", { first: number(from + 1), last: number(from + rows.length) }) : "");
    where.textContent = say("page", { n: view.page, all: pages });
    back.disabled = first.disabled = view.page === 1;
    next.disabled = last.disabled = view.page === pages;
    paper.textContent = say("on_paper", { n: Math.min(20, rows.length), all: number(shown.length) });
    clear.disabled = !view.q && !view.by.size && !view.sort;
    filtersOn.textContent = view.by.size ? say("filters_on", { n: view.by.size }) : "";
  };
  const showControls = () => {
    search.value = view.q;
    size.value = String(view.size);
    for (const [name, control] of controls) control.value = view.by.has(name) ? view.by.get(name) : "";
  };
  const update = ({ keepPage = false } = {}) => {
    if (!keepPage) view.page = 1;
    choose();
    draw();
    writeHash();
  };
  const filter = (name, value) => {
    if (value === "") view.by.delete(name); else view.by.set(name, value);
    update();
  };

  // --- The controls.
  let waiting = 0;
  const search = make("input", {
    type: "search", placeholder: say("search_hint"), autocomplete: "off", spellcheck: "false",
    on: {
      input: () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => { view.q = search.value; update(); }, 120);
      },
    },
  });
  const clear = make("button", {
    type: "button", text: say("clear"),
    on: { click: () => { const kept = view.size; view = start(); view.size = kept; showControls(); update(); search.focus(); } },
  });
  const filters = make("div", { class: "filters" });
  for (const column of columns) {
    if (column.filter === false || column.kind === "text" || column.kind === "texts") continue;
    const title = column.filter || column.title;
    if (column.kind === "number") {
      const bound = (end, word) => {
        const input = make("input", {
          type: "number", step: "any", placeholder: word, "aria-label": title + ", " + word,
          on: { change: () => filter(column.key + "." + end, input.value) },
        });
        controls.set(column.key + "." + end, input);
        return input;
      };
      filters.append(make("fieldset", {},
        make("span", { text: title + (column.percent ? " (%)" : "") }),
        make("span", { class: "two" }, bound("min", say("at_least")), make("span", { text: "–", "aria-hidden": "true" }), bound("max", say("at_most")))));
      continue;
    }
    const counts = new Array(column.values.length).fill(0);
    let none = 0;
    for (const x of column.data) {
      if (column.kind === "set") { if (!x.length) none++; for (const place of x) counts[place]++; }
      else if (x !== null) counts[x]++;
    }
    const select = make("select", { "aria-label": title, on: { change: () => filter(column.key, select.value) } },
      make("option", { value: "", text: say("all") }));
    if (column.kind === "set") {
      if (column.values.length > 1) select.append(make("option", { value: "*", text: (column.any || say("any")) + " (" + (count - none) + ")" }));
      select.append(make("option", { value: "-", text: (column.none || say("none")) + " (" + none + ")" }));
    }
    column.values.forEach((value, place) => {
      if (!counts[place] && column.kind === "enum") return;
      const label = evalkitText(value.length > 80 ? value.slice(0, 80) + "…" : value).textContent;
      select.append(make("option", { value, text: label + " (" + counts[place] + ")" }));
    });
    controls.set(column.key, select);
    filters.append(make("label", {}, make("span", { text: title }), select));
  }
  const filtersOn = make("span");
  const drawer = make("details", { class: "on-screen" }, make("summary", {}, say("filters"), filtersOn), filters);
  drawer.open = matchMedia("(min-width: 40rem)").matches;
  const found = make("span", { class: "found", role: "status", "aria-live": "polite" });
  const where = make("span");
  const turn = (text, label, to) => make("button", {
    type: "button", text, "aria-label": label,
    on: { click: () => { view.page = to(); update({ keepPage: true }); } },
  });
  const lastPage = () => Math.max(1, Math.ceil(shown.length / view.size));
  const first = turn("«", say("first_page"), () => 1);
  const back = turn("‹", say("previous_page"), () => view.page - 1);
  const next = turn("›", say("next_page"), () => view.page + 1);
  const last = turn("»", say("last_page"), lastPage);
  const size = make("select", { "aria-label": say("page_size"), on: { change: () => { view.size = Number(size.value); update(); } } },
    ...sizes.map((n) => make("option", { value: n, text: say("per_page", { n }) })));
  const paper = make("p", { class: "on-paper" });
  const heads = new Map();
  const headRow = make("tr", {}, make("th", { scope: "col" }, make("span", { class: "visually-hidden", text: say("open") })));
  for (const column of columnsShown) {
    const button = make("button", {
      type: "button", title: column.note || say("sort"),
      on: {
        click: () => {
          // Up, down, and back to the order of the data.
          view.sort = view.sort === column.key ? "-" + column.key : view.sort === "-" + column.key ? "" : column.key;
          update();
        },
      },
    }, column.title, make("span", { class: "arrow", "aria-hidden": "true" }));
    const head = make("th", { scope: "col", class: column.kind === "number" ? "n" : null }, button);
    heads.set(column.key, head);
    headRow.append(head);
  }
  const table = make("table", { class: "rows" }, make("caption", { class: "visually-hidden", text: spec.caption }),
    make("thead", {}, headRow));
  box.replaceChildren(
    make("div", { class: "search", role: "search" },
      make("label", {}, make("span", { text: say("search") }), search), clear),
    drawer,
    make("div", { class: "pages" }, found, first, back, where, next, last, size),
    paper,
    make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": spec.caption }, table));

  const follow = () => {
    if (!readHash()) return;
    showControls();
    update({ keepPage: true });
    box.closest("section").scrollIntoView();
    found.focus({ preventScroll: true });
  };
  addEventListener("hashchange", follow);
  readHash();
  showControls();
  choose();
  draw();
  if (isView(location.hash)) box.closest("section").scrollIntoView();
  return { rows: () => shown.slice() };
}
