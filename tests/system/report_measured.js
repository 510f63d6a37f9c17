addEventListener("load", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const panel of document.querySelectorAll(".panel")) panel.hidden = false;
  const width = document.documentElement.clientWidth, scrolls = ".scroll, pre, .skip";
  const box = e => e.getBoundingClientRect();
  const visible = [...document.body.querySelectorAll("*")].filter(e => e.getClientRects().length);
  const drawn = visible.filter(e => e.tagName === "text"), plain = visible.filter(e => !e.closest("svg"));
  const outside = e => {
    const t = box(e), s = box(e.closest("svg"));
    return t.left < s.left - 1 || t.right > s.right + 1 || t.top < s.top - 1 || t.bottom > s.bottom + 1;
  };
  const size = e => parseFloat(getComputedStyle(e).fontSize) * Math.hypot(e.getScreenCTM().a, e.getScreenCTM().b);
  const cut = e => getComputedStyle(e).overflowX !== "visible" && e.scrollWidth > e.clientWidth + 1;
  const said = e => e.tagName + "." + e.getAttribute("class") + ": " + e.textContent.trim().slice(0, 60);
  parent.postMessage({
    width: innerWidth,
    scroll: document.documentElement.scrollWidth,
    drawings: document.querySelectorAll(".drawing svg").length,
    shown: visible.filter(e => e.matches(".drawing svg")).length,
    panels: document.querySelectorAll(".panel").length,
    images: [...document.images].filter(e => e.naturalWidth).length,
    wide: plain.filter(e => !e.closest(scrolls) && box(e).right > width + 1).map(said),
    cut: plain.filter(e => !e.matches(scrolls) && cut(e)).map(said),
    outside: drawn.filter(outside).map(said),
    smallest: Math.min(...drawn.map(size)),
  }, "*");
});
