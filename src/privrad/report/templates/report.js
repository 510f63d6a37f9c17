
"use strict";
(() => {
  const all = (chosen, within = document) => [...within.querySelectorAll(chosen)];
  const make = (tag, facts = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(facts)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const step = (items, current, key) => {
    const last = items.length - 1, at = items.indexOf(current);
    const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at ? at - 1 : last, Home: 0, End: last }[key];
    return items[to];
  };
  document.documentElement.classList.add("scripted");

  // Tabs: every panel names itself in its heading; without this script all of them are open.
  const choose = (tab, tabs) => {
    for (const each of tabs) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", chosen);
      each.tabIndex = chosen ? 0 : -1;
      document.getElementById(each.getAttribute("aria-controls")).hidden = !chosen;
    }
  };
  for (const group of all(".tabs")) {
    const panels = [...group.children];
    const tabs = panels.map(panel => {
      const facts = { type: "button", role: "tab", id: `${panel.id}-tab`, "aria-controls": panel.id };
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", facts.id);
      return make("button", facts, panel.querySelector("h5").textContent);
    });
    group.prepend(make("div", { role: "tablist", "aria-label": group.dataset.label }, ...tabs));
    for (const tab of tabs) {
      tab.addEventListener("click", () => choose(tab, tabs));
      tab.addEventListener("keydown", event => {
        const next = step(tabs, tab, event.key);
        if (!next) return;
        event.preventDefault();
        choose(next, tabs);
        next.focus();
      });
    }
    choose(tabs[Math.min(1, tabs.length - 1)], tabs);
  }

  // What an address after # names is brought into sight: its tab is chosen, what it is folded into is opened.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
      if (at.getAttribute("role") === "tabpanel") document.getElementById(`${at.id}-tab`).click();
    }
    target?.scrollIntoView();
  };
  addEventListener("hashchange", reveal);

  // Sorting: by the number that is shown; what shows none comes last, whichever way the rest is sorted.
  const raised = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const amount = text => {
    const plain = text.replace(/[\s\u00a0\u202f]/g, "").replace(/\u2212/g, "-").replace(/^ε=|^.*\(ε=/, "");
    const found = /^[<>]?([+-]?\d+\.?\d*)(?:×10(⁻?)([⁰¹²³⁴⁵⁶⁷⁸⁹]+))?/.exec(plain);
    if (!found) return plain.startsWith("∞") ? Infinity : NaN;
    const power = [...found[3] || ""].map(digit => raised.indexOf(digit)).join("");
    return found[1] * 10 ** (power ? (found[2] ? -power : +power) : 0);
  };
  const said = cell => [...cell.childNodes].filter(node => node.nodeName !== "SMALL").map(node => node.textContent).join("").trim();
  const compare = (one, other) => {
    if (isNaN(one.amount) !== isNaN(other.amount)) return isNaN(one.amount) ? 2 : -2;
    return isNaN(one.amount) ? one.text.localeCompare(other.text, "en", { numeric: true }) : one.amount === other.amount ? 0 : one.amount - other.amount;
  };
  for (const table of all("table.sortable")) {
    const body = table.tBodies[0], rows = [...body.rows];
    if (rows.length < 2) continue;
    all("thead th", table).forEach((head, place) => {
      if (head.querySelector(".ends")) return;
      const button = make("button", { type: "button", class: "sort" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const order = { none: "ascending", ascending: "descending", descending: "none" }[head.ariaSort || "none"];
        for (const each of all("thead th", table)) each.removeAttribute("aria-sort");
        const keyed = rows.map(row => {
          const text = said(row.cells[place]);
          return { row, text, amount: amount(text) };
        });
        const named = keyed.every(each => isNaN(each.amount));
        if (order !== "none") {
          head.setAttribute("aria-sort", order);
          const sign = order === "ascending" ? 1 : -1;
          keyed.sort((one, other) => {
            const by = compare(one, other);
            return Math.abs(by) === 2 && isNaN(one.amount) !== isNaN(other.amount) && !named ? by : sign * by;
          });
        }
        body.append(...keyed.map(each => each.row));
      });
    });
  }

  // Sliders between the picture as it came and as the network sees it.
  for (const slider of all(".slider")) {
    const show = () => slider.parentElement.style.setProperty("--at", slider.value);
    slider.addEventListener("input", show);
    show();
  }

  // Where a number comes from. In a table one number can be reached by Tab, the others from it by the arrows.
  const near = (number, name) => number.closest(`[data-${name}]`)?.getAttribute(`data-${name}`) ?? "";
  const keys = number => {
    const parts = [];
    for (let at = number; at; at = at.parentElement) if (at.dataset.row) parts.unshift(...at.dataset.row.split(";"));
    return parts.map(part => part.split("=").map(decodeURIComponent).join(" = ").replace(/ = $/, " = (empty)"));
  };
  const files = new Map();
  all(".sources tbody tr").forEach((row, place) => {
    row.id = `file-${place}`;
    files.set(row.cells[0].textContent, { hash: row.cells[1].textContent, id: row.id });
  });
  const facts = number => {
    const file = near(number, "file"), column = near(number, "column"), held = files.get(file);
    const pointed = column.startsWith("/") || column.startsWith("computed:");
    const where = make("dd");
    const to = file === "study" ? "study-file" : held?.id;
    where.append(to ? make("a", { href: `#${to}` }, make("code", {}, file === "study" ? "the study file" : file)) : make("code", {}, file));
    const shown = [["Shown", make("dd", {}, number.textContent)], ["File", where]];
    const add = (name, text, tag = "code") => text && shown.push([name, make("dd", {}, make(tag, {}, text))]);
    if (!pointed) add("Row", keys(number).join(", "));
    add(column.startsWith("computed:") ? "Computed" : column.startsWith("/") ? "Key" : "Column", column.replace("computed:", ""));
    add("Made by", file === "study" ? "hand: a setting" : `rule ${file.split("/")[1]}`, "span");
    add("SHA-256", held?.hash);
    add("Kind", document.getElementById(`kind-${near(number, "kind")}`)?.textContent, "span");
    return shown;
  };
  let opener = null;
  const list = make("dl"), done = make("button", { type: "button" }, "Close");
  const origin = make("div", { id: "origin", role: "dialog", "aria-label": "Where this number comes from" }, list, done);
  origin.hidden = true;
  document.body.append(origin);
  const close = () => {
    if (origin.hidden) return;
    origin.hidden = true;
    opener?.classList.remove("opened");
    if (origin.contains(document.activeElement) || document.activeElement === document.body) opener?.focus({ preventScroll: true });
  };
  const open = number => {
    close();
    opener = number;
    number.classList.add("opened");
    list.replaceChildren(...facts(number).flatMap(([name, value]) => [make("dt", {}, name), value]));
    origin.hidden = false;
    const at = number.getBoundingClientRect(), box = origin.getBoundingClientRect();
    const width = document.documentElement.clientWidth, below = at.bottom + box.height + 16 < innerHeight;
    const left = Math.max(8, Math.min(at.left, width - box.width - 8)) + scrollX;
    const top = (below ? at.bottom + 6 : Math.max(8, at.top - box.height - 6)) + scrollY;
    origin.style.setProperty("left", `${left}px`);
    origin.style.setProperty("top", `${top}px`);
    done.focus({ preventScroll: true });
  };
  const rove = (number, among) => {
    for (const each of among) each.tabIndex = each === number ? 0 : -1;
    number.setAttribute("role", "button");
  };
  const bodies = all("tbody");
  for (const number of all("data.n")) if (!number.closest("tbody, summary")) rove(number, [number]);
  for (const body of bodies) {
    const numbers = all("data.n", body);
    if (numbers.length) rove(numbers[0], numbers);
  }
  document.addEventListener("click", event => {
    const number = event.target.closest("data.n");
    if (number && !number.closest("summary, thead button")) return open(number);
    if (event.target === done || !origin.contains(event.target) || event.target.closest("a")) close();
  });
  document.addEventListener("keydown", event => {
    if (event.key === "Escape") return close();
    const number = event.target.closest?.("data.n"), body = number?.closest("tbody");
    if (number && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      return open(number);
    }
    if (!body || !event.key.startsWith("Arrow")) return;
    const rows = [...body.rows].map(row => all("data.n", row)).filter(row => row.length);
    const row = rows.findIndex(each => each.includes(number)), place = rows[row].indexOf(number);
    const up = rows[row + { ArrowUp: -1, ArrowDown: 1 }[event.key]];
    const next = up ? up[Math.min(place, up.length - 1)] : step(rows.flat(), number, event.key);
    if (!next) return;
    event.preventDefault();
    rove(next, rows.flat());
    next.focus();
  });

  // On paper everything is open.
  const folded = [];
  addEventListener("beforeprint", () => {
    close();
    for (const each of all("details:not([open])")) {
      folded.push(each);
      each.open = true;
    }
  });
  addEventListener("afterprint", () => {
    for (const each of folded.splice(0)) each.open = false;
  });
  if (location.hash) reveal();
})();
