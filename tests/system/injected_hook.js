// Stands first in a page that has texts of an attacker, and notes whatever any of them gets done.
(() => {
  const done = [];
  const note = name => (...given) => {
    done.push(`${name}: ${given.map(String).join(" ").slice(0, 200)}`);
  };
  for (const name of ["alert", "confirm", "prompt", "print", "open", "fetch", "eval", "WebSocket", "EventSource", "Worker"]) window[name] = note(name);
  for (const name of ["log", "info", "warn", "error", "debug"]) console[name] = note(`console.${name}`);
  XMLHttpRequest.prototype.open = note("XMLHttpRequest");
  navigator.sendBeacon = note("sendBeacon");
  document.write = note("document.write");
  addEventListener("error", event => note("error")(event.message ?? event.target.outerHTML), true);
  addEventListener("beforeunload", () => note("left")(location.href));

  const parts = "a article b body br i button caption code data dd del details div dl dt em figcaption figure footer h1 h2 h3 h4 h5 h6 head header"
    + " hr html img input label li main meta nav ol p pre script section small span strong style sub summary sup svg table tbody td th thead"
    + " time title tr ul blockquote circle clipPath defs desc ellipse g line linearGradient path polygon polyline rect stop text tspan use";
  const known = new Set(parts.split(" "));
  const own = value => /^(#|(\.\.\/)*[\w.-]+(\/[\w.-]+)*(#[\w-]+)?$)/.test(value) || LINKS.includes(value);
  const local = (name, value) => name === "src" ? value.startsWith("data:image/png;base64,") : name.endsWith("href") && own(value);
  const leads = new Set(["href", "xlink:href", "src", "srcset", "action", "formaction", "background", "poster", "data", "ping", "srcdoc"]);
  const paints = new Set(["style", "fill", "stroke", "filter", "mask", "clip-path", "cursor", "marker-start", "marker-mid", "marker-end"]);
  const foreign = element => {
    const said = [...element.attributes].map(each => [each.name.toLowerCase(), each.value]);
    const wrong = said.filter(([name, value]) => name.startsWith("on") || (leads.has(name) && !local(name, value)) || (paints.has(name) && /url\((?!["']?#)/i.test(value)));
    if (element.localName === "input" && element.type !== "range") wrong.push(["type", element.type]);
    if (element.localName === "meta" && element.httpEquiv) wrong.push(["http-equiv", element.httpEquiv]);
    return [...(known.has(element.localName) ? [] : [element.localName]), ...wrong.map(each => `${element.localName} ${each.join("=")}`)];
  };
  addEventListener("load", () => {
    const all = chosen => [...document.querySelectorAll(chosen)];
    const shown = text => text.replace(/\s+/g, " ").trim();
    const body = document.body.cloneNode(true);
    for (const each of body.querySelectorAll("script, style")) each.remove();
    const text = shown(body.textContent);
    for (const each of all("details")) each.open = true;
    for (const button of all("button.sort").slice(0, 60)) button.click();
    for (const tab of all("[role=tab]")) tab.click();
    const numbers = all("data.n"), step = Math.ceil(numbers.length / 300);
    for (let at = 0; at < numbers.length; at += step) numbers[at].click();
    setTimeout(() => {
      const ids = all("[id]").map(each => each.id);
      const found = {
        done,
        foreign: all("*").flatMap(foreign),
        scripts: all("script").length,
        twice: ids.filter((id, place) => ids.indexOf(id) !== place),
        missing: EXPECTED.filter(each => !text.includes(shown(each))),
        elements: all("*").length,
        clicked: numbers.length,
      };
      document.body.dataset.found = JSON.stringify(found);
    }, 100);
  });
})();
