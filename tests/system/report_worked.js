addEventListener("load", () => {
  const all = (chosen, within = document) => [...within.querySelectorAll(chosen)];
  const press = (element, key) => element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const found = { tabs: 0, tabless: [], arrows: [], sliders: 0, still: [], sorted: 0, unsorted: [], origins: [], closed: [] };
  for (const group of all(".tabs")) {
    const tabs = all("[role=tab]", group), panels = all("[role=tabpanel]", group);
    const open = () => panels.filter(panel => panel.getClientRects().length).map(panel => panel.id).join();
    for (const tab of tabs) {
      found.tabs += 1;
      tab.click();
      const right = open() === tab.getAttribute("aria-controls") && tab.getAttribute("aria-selected") === "true";
      if (!right || all("[aria-selected=true]", group).length !== 1) found.tabless.push(tab.textContent);
    }
    tabs[0].click();
    const reached = [["ArrowRight", 1], ["End", tabs.length - 1], ["ArrowRight", 0], ["ArrowLeft", tabs.length - 1], ["Home", 0]];
    for (const [key, to] of reached) {
      press(document.activeElement.getAttribute("role") === "tab" && key !== "ArrowRight" ? document.activeElement : tabs.find(tab => tab.tabIndex === 0), key);
      if (open() !== panels[to].id || document.activeElement !== tabs[to]) found.arrows.push(key);
    }
  }
  for (const details of all("details")) details.open = true;
  for (const panel of all(".panel")) panel.hidden = false;
  for (const slider of all(".slider")) {
    const clip = () => getComputedStyle(slider.parentElement.querySelector(".prepared")).clipPath;
    const seen = new Set([0, 30, 100].map(value => {
      slider.value = value;
      slider.dispatchEvent(new Event("input"));
      return clip();
    }));
    found.sliders += 1;
    if (seen.size !== 3) found.still.push([...seen].join());
  }
  const last = ["too few", "withheld", "not estimable", "none", "\u2013"];
  const said = cell => [...cell.childNodes].filter(n => n.nodeName !== "SMALL").map(n => n.textContent).join("").trim();
  const value = text => parseFloat(text.replace(/[\s\u202f<>]/g, "").replace("\u2212", "-"));
  const powers = text => text.includes("10\u207b") || text.includes("\u221e") || text.includes("\u03b5");
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, place) => {
      const button = head.querySelector("button.sort");
      if (!button) return;
      const shown = () => [...table.tBodies[0].rows].map(row => said(row.cells[place]));
      const before = shown(), wrong = order => found.unsorted.push(`${order}: ${button.textContent}: ${shown().join(" | ")}`);
      for (const [order, sign] of [["ascending", 1], ["descending", -1]]) {
        button.click();
        found.sorted += 1;
        if (head.getAttribute("aria-sort") !== order) wrong(order);
        if (shown().some(powers)) continue;
        const at = shown(), numbers = at.map(value).filter(one => !isNaN(one));
        const empty = at.findIndex(text => last.includes(text)), full = at.findLastIndex(text => !last.includes(text));
        if (numbers.length === at.filter(text => !last.includes(text)).length && numbers.length) {
          if (numbers.some((one, place) => place && sign * one < sign * numbers[place - 1])) wrong(order);
          if (empty >= 0 && empty < full) wrong(`${order}, last`);
        }
      }
      button.click();
      if (head.hasAttribute("aria-sort") || shown().join() !== before.join()) wrong("as it was");
    });
  }
  const origin = document.getElementById("origin");
  const open = number => {
    number.focus();
    press(number, "Enter");
    const visible = origin.getClientRects().length > 0, box = origin.getBoundingClientRect();
    const right = box.left >= 0 && box.right <= document.documentElement.clientWidth;
    found.origins.push([number.textContent, origin.querySelector("dl").textContent, visible && right && origin.contains(document.activeElement)]);
    press(document.activeElement, "Escape");
    found.closed.push(origin.hidden && document.activeElement === number);
  };
  const numbers = all("data.n").filter(number => !number.closest("summary, thead"));
  for (let at = 0; at < numbers.length; at += Math.ceil(numbers.length / 60)) {
    numbers[at].tabIndex = 0;
    open(numbers[at]);
  }
  const body = all("tbody").find(body => all("data.n", body).length > 8), inside = all("data.n", body);
  inside[0].focus();
  press(inside[0], "ArrowRight");
  found.roved = document.activeElement === inside[1] && inside[0].tabIndex === -1 && inside[1].tabIndex === 0;
  inside[0].click();
  found.clicked = !origin.hidden;
  document.body.click();
  found.away = origin.hidden;
  location.hash = all(".panel")[2].id;
  setTimeout(() => {
    found.revealed = document.getElementById(`${all(".panel")[2].id}-tab`).getAttribute("aria-selected");
    parent.postMessage(found, "*");
  }, 200);
});
