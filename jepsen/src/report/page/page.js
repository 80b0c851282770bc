"use strict";
// Adds to the page what paper lacks: zoom into the shared time axis, and a cursor across all charts.
(() => {
  document.documentElement.classList.add("scripted");
  const charts = document.querySelector(".charts");
  const axis = charts.querySelector(".ticks");
  const clock = charts.querySelector(".clock span");
  const seconds = Number(charts.dataset.length) / 1e6;
  const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const smallest = Math.max(0.02 / seconds, 1e-6) * 1000;
  let left = 0;
  let right = 1000;

  const place = (x) => (x - left) / (right - left) * 100;

  // Shows the part of the axis from `a` to `b`, both out of 0 to 1000.
  function show(a, b) {
    const width = Math.min(1000, Math.max(smallest, b - a));
    left = Math.min(1000 - width, Math.max(0, a));
    right = left + width;
    for (const svg of charts.querySelectorAll("svg.time")) svg.setAttribute("viewBox", `${left} 0 ${width} 100`);
    for (const tag of charts.querySelectorAll("[data-x]")) {
      const from = Math.max(0, place(Number(tag.dataset.x)));
      const to = Math.min(100, place(Number(tag.dataset.x) + Number(tag.dataset.w)));
      tag.style.left = `${from}%`;
      tag.style.width = `${Math.max(0, to - from)}%`;
    }
    ticks();
    rest.hidden = width >= 1000;
  }

  function ticks() {
    const from = left / 1000 * seconds;
    const to = right / 1000 * seconds;
    const most = axis.clientWidth > 600 ? 12 : 6;
    const step = steps.find((step) => (to - from) / step < most) ?? to - from;
    const decimals = step < 1 ? Math.ceil(-Math.log10(step)) : 0;
    axis.replaceChildren();
    let grid = "";
    for (let at = Math.ceil(from / step) * step; at <= to + step / 1e6; at += step) {
      const x = at / seconds * 1000;
      const tick = document.createElement("span");
      tick.className = place(x) > 97 ? "tick last" : "tick";
      tick.style.left = `${place(x)}%`;
      tick.textContent = at.toFixed(decimals);
      axis.append(tick);
      grid += `M${x} 0v100`;
    }
    document.getElementById("grid").setAttribute("d", grid);
  }

  const rest = document.createElement("button");
  rest.textContent = "Whole run";
  rest.hidden = true;
  rest.addEventListener("click", () => show(0, 1000));
  clock.before(rest);

  const overlay = (name) => {
    const element = document.createElement("div");
    element.className = name;
    element.hidden = true;
    charts.append(element);
    return element;
  };
  const cursor = overlay("cursor");
  const choice = overlay("choice");
  let begin = null;

  // Where the pointer is on the axis, as a share from 0 to 1; undefined beside it.
  function share(event) {
    const box = axis.getBoundingClientRect();
    const at = (event.clientX - box.left) / box.width;
    return at >= -0.01 && at <= 1.01 ? Math.min(1, Math.max(0, at)) : undefined;
  }

  function across(element, from, to) {
    const box = axis.getBoundingClientRect();
    const origin = charts.getBoundingClientRect().left;
    element.style.left = `${box.left - origin + from * box.width}px`;
    if (to !== undefined) element.style.width = `${(to - from) * box.width}px`;
    element.hidden = false;
  }

  charts.addEventListener("pointermove", (event) => {
    const at = share(event);
    if (at === undefined) {
      cursor.hidden = true;
      return;
    }
    clock.textContent = `${((left + at * (right - left)) / 1000 * seconds).toFixed(3)} s`;
    across(cursor, at);
    if (begin !== null) across(choice, Math.min(begin, at), Math.max(begin, at));
  });
  charts.addEventListener("pointerleave", () => {
    cursor.hidden = true;
    clock.textContent = "seconds";
  });
  charts.addEventListener("pointerdown", (event) => {
    const at = share(event);
    if (event.pointerType === "mouse" && event.button === 0 && event.target.closest(".area") && at !== undefined) {
      begin = at;
      event.preventDefault();
    }
  });
  window.addEventListener("pointerup", (event) => {
    if (begin === null) return;
    const [from, to] = [begin, share(event) ?? begin].sort((a, b) => a - b);
    begin = null;
    choice.hidden = true;
    const width = right - left;
    if (to - from > 0.005) show(left + from * width, left + to * width);
  });
  charts.addEventListener("dblclick", () => show(0, 1000));
  for (const link of document.querySelectorAll("a.zoom")) {
    link.addEventListener("click", () => {
      const at = Number(link.dataset.at) / 1e6 / seconds * 1000;
      const around = Math.min(500, 10 / seconds * 1000);
      show(at - around, at + around);
    });
  }
  window.addEventListener("resize", ticks);
  show(0, 1000);
})();
