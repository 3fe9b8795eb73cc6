// What the line charts do under a pointer and by keys: values of a step, zoom. A figure holds its numbers in data-chart
// (see rl/report/charts.py); without this script the picture stays as it is. Texts are set as text, never as HTML.
"use strict";
(({ step: stepText, mean: meanText }) => {
  const number = (value) => String(+value.toPrecision(4));

  function element(parent, name, attributes = {}, text = "") {
    const svg = parent instanceof SVGElement;
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return parent.appendChild(made);
  }

  function ticks(low, high, most, log) {
    const decades = [];
    for (let power = Math.ceil(Math.log10(low)); log && 10 ** power <= high; power++) decades.push(10 ** power);
    if (decades.length > 1) return decades;
    const least = (high - low) / most, power = 10 ** Math.floor(Math.log10(least)), found = [];
    const size = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= least);
    for (let at = Math.ceil(low / size); at * size <= high; at++) found.push(at * size);
    return found;
  }

  document.querySelectorAll("figure[data-chart]").forEach((figure, place) => {
    const { box: [left, top, right, bottom], x, y, log, curves, rules, size } = JSON.parse(figure.dataset.chart);
    const svg = figure.querySelector("svg"), whole = { x, y };
    const steps = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
    const drawn = document.createElementNS(svg.namespaceURI, "g");
    drawn.append(...svg.childNodes);
    svg.append(drawn);
    const zoomed = element(svg, "g", { "font-size": size }), over = element(svg, "g");
    const tip = element(figure, "div", { class: "tip", role: "status" });
    let view = whole, at = null, from = null;

    const scale = (value) => (log ? Math.log10(value) : value);
    const across = (step) => left + ((step - view.x[0]) / (view.x[1] - view.x[0])) * (right - left);
    const up = (value) => bottom - ((scale(value) - scale(view.y[0])) / (scale(view.y[1]) - scale(view.y[0]))) * (bottom - top);
    const inside = (step) => step >= view.x[0] && step <= view.x[1], shown = () => steps.filter(inside);
    const nearest = (some, step) => some.reduce((best, one, i) => (Math.abs(one - step) < Math.abs(some[best] - step) ? i : best), 0);

    function show(step) {
      at = step;
      for (const part of [over, tip]) part.replaceChildren();
      if (step === null) return;
      const middle = across(step);
      element(over, "line", { x1: middle, x2: middle, y1: top, y2: bottom, stroke: "#8a94a0", "stroke-width": 0.7 });
      element(tip, "b", {}, stepText.replace("{}", number(step)));
      for (const curve of curves) {
        const i = nearest(curve.x, step), value = curve.y[i];
        if (Math.abs(curve.x[i] - step) > (view.x[1] - view.x[0]) / 50) continue; // nothing of it near this step
        const row = element(tip, "span");
        element(row, "i").style.background = curve.colour;
        const there = curve.x[i] === step ? "" : ` (${stepText.replace("{}", number(curve.x[i]))})`;
        const band = curve.low ? ` (${number(curve.low[i])}–${number(curve.high[i])})` : "";
        const mean = curve.mean ? ` · ${meanText} ${number(curve.mean[i])}` : "";
        element(row, "span", {}, `${curve.label} ${number(value)}${band}${mean}${there}`);
        if (inside(curve.x[i])) element(over, "circle", { cx: across(curve.x[i]), cy: up(value), r: 2.4, fill: curve.colour });
      }
      tip.style.top = `${svg.getBoundingClientRect().top - figure.getBoundingClientRect().top}px`;
      const share = (part) => `${(100 * part) / svg.viewBox.baseVal.width}%`;
      const sides = middle > (left + right) / 2 ? { left: share(left + 4), right: "auto" } : { left: "auto", right: "0" };
      Object.assign(tip.style, sides);
    }

    function zoom(low, high) {
      const some = steps.filter((step) => step >= low && step <= high);
      if (some.length < 2) return;
      const seen = curves.flatMap((curve) =>
        curve.x.flatMap((step, i) => (step < low || step > high ? [] : [curve.y, curve.mean, curve.low, curve.high].flatMap((part) => part?.[i] ?? []))));
      let [least, most] = [Math.min(...seen), Math.max(...seen)].map(scale);
      const room = (most - least) * 0.06 || Math.abs(most) * 0.1 || 1;
      const value = (scaled) => (log ? 10 ** scaled : scaled);
      view = { x: [some[0], some[some.length - 1]], y: [value(least - room), value(most + room)] };
      redraw();
    }

    function redraw() {
      drawn.style.display = view === whole ? "" : "none";
      zoomed.replaceChildren();
      if (view !== whole) {
        const clip = element(zoomed, "clipPath", { id: `clip${place}` });
        element(clip, "rect", { x: left, y: top, width: right - left, height: bottom - top });
        for (const tick of ticks(...view.y, 5, log)) {
          element(zoomed, "line", { x1: left, x2: right, y1: up(tick), y2: up(tick), stroke: "#dfe4e9", "stroke-width": 0.7 });
          element(zoomed, "text", { x: left - 4, y: up(tick) + size / 3, "text-anchor": "end" }, number(tick));
        }
        for (const tick of ticks(...view.x, 6).filter(Number.isInteger))
          element(zoomed, "text", { x: across(tick), y: bottom + size * 1.4, "text-anchor": "middle" }, number(tick));
        const inner = element(zoomed, "g", { "clip-path": `url(#clip${place})`, fill: "none" });
        const points = (curve, values) => values.map((value, i) => `${across(curve.x[i])},${up(value)}`);
        const line = (curve, values, more) =>
          element(inner, "polyline", { points: points(curve, values).join(" "), stroke: curve.colour, ...more });
        for (const curve of curves) {
          const around = [...points(curve, curve.low ?? []), ...points(curve, curve.high ?? []).reverse()].join(" ");
          if (curve.low) element(inner, "polygon", { points: around, fill: curve.colour, "fill-opacity": 0.15 });
          line(curve, curve.y, curve.mean ? { "stroke-width": 0.9, "stroke-opacity": 0.35 } : { "stroke-width": 1.6 });
          if (curve.mean) line(curve, curve.mean, { "stroke-width": 1.8 });
          if (curve.points) curve.x.forEach((step, i) => element(inner, "circle", { cx: across(step), cy: up(curve.y[i]), r: 2, fill: curve.colour }));
        }
        for (const rule of rules) {
          const ends = rule.x === null ? { x1: left, x2: right, y1: up(rule.y), y2: up(rule.y) } : { x1: across(rule.x), x2: across(rule.x), y1: top, y2: bottom };
          element(inner, "line", { ...ends, stroke: rule.colour, "stroke-dasharray": "4 3" });
        }
      }
      show(at !== null && inside(at) ? at : null);
    }

    const reset = () => redraw((view = whole));

    function pointed(event) {
      const area = svg.getBoundingClientRect();
      const found = Math.max(left, Math.min(right, ((event.clientX - area.left) / area.width) * svg.viewBox.baseVal.width));
      return view.x[0] + ((found - left) / (right - left)) * (view.x[1] - view.x[0]);
    }

    svg.tabIndex = 0;
    const on = (name, act) => svg.addEventListener(name, act);
    on("pointerdown", (event) => (from = event.button === 0 ? pointed(event) : null));
    on("pointermove", (event) => {
      const to = pointed(event), here = shown();
      show(here[nearest(here, to)]);
      if (from === null) return;
      svg.setPointerCapture(event.pointerId);
      const [low, high] = [from, to].map(across).sort((a, b) => a - b);
      element(over, "rect", { x: low, y: top, width: high - low, height: bottom - top, fill: "#2f5f9e", "fill-opacity": 0.12 });
    });
    on("pointerup", (event) => {
      const [low, high] = [from ?? 0, pointed(event)].sort((a, b) => a - b);
      if (from !== null && across(high) - across(low) > 8) zoom(low, high);
      from = null;
    });
    on("pointercancel", () => (from = null));
    on("pointerleave", () => from === null && show(null));
    on("blur", () => show(null));
    on("dblclick", reset);
    on("keydown", (event) => {
      const here = shown(), i = at === null ? here.length - 1 : nearest(here, at), wide = (view.x[1] - view.x[0]) / 2;
      const middle = here[i], part = event.key === "-" ? 2 * wide : wide / 2;
      const keys = {
        ArrowLeft: () => show(here[at === null ? i : Math.max(0, i - 1)]),
        ArrowRight: () => show(here[at === null ? i : Math.min(here.length - 1, i + 1)]),
        Home: () => show(here[0]),
        End: () => show(here[here.length - 1]),
        "+": () => zoom(middle - part, middle + part),
        "=": () => zoom(middle - part, middle + part),
        "-": () => (2 * part >= whole.x[1] - whole.x[0] ? reset() : zoom(middle - part, middle + part)),
        Escape: reset,
      };
      if (!Object.hasOwn(keys, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
  });
})(document.currentScript.dataset);
