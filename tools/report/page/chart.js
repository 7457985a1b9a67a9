// A figure with curves over one x axis: hovering, touching or the arrow keys
// show the values at an epoch, and buttons turn axes logarithmic.

// A box beside the point (x, y) of `plot`, kept inside it.
function showTip(plot, tip, x, y, content) {
  tip.replaceChildren(...content);
  tip.hidden = false;
  const left = x + 12 + tip.offsetWidth > plot.clientWidth
      ? Math.max(0, x - 12 - tip.offsetWidth) : x + 12;
  tip.style.left = `${left}px`;
  tip.style.top = `${Math.max(0, y - tip.offsetHeight / 2)}px`;
}

// Calls draw(width) now and whenever the width of `plot` changes.
function onWidth(plot, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (plot.clientWidth > 0 && plot.clientWidth !== width) {
      width = plot.clientWidth;
      draw(width);
    }
  }).observe(plot);
}

function toggle(id, label, redraw) {
  const button = h("button", {
    type: "button", "aria-pressed": String(!!choices.get(id)), onclick: () => {
      choices.set(id, !choices.get(id));
      button.setAttribute("aria-pressed", String(choices.get(id)));
      redraw();
    }}, label);
  return button;
}

// Where a number stands on an axis of so many pixels.
function scaleOf(values, pixels, log, whole, count) {
  const shown = values.filter((v) => Number.isFinite(v) && (!log || v > 0));
  if (shown.length === 0) return null;
  const low = Math.min(...shown), high = Math.max(...shown);
  const axis = log && low < high ? logTicks(low, high)
                                 : linearTicks(low, high, count, whole);
  const to = log && low < high ? Math.log : (v) => v;
  const from = to(axis.low), span = to(axis.high) - from;
  const place = (v) =>
      span === 0 ? pixels / 2 : (to(v) - from) / span * pixels;
  const step = axis.ticks.length > 1 && !log ? axis.ticks[1] - axis.ticks[0] : 0;
  return {ticks: axis.ticks, place, step,
          shows: (v) => Number.isFinite(v) && (!log || v > 0)};
}

const HEIGHT = 210, TOP = 8, BOTTOM = 34, RIGHT = 10;

// options: id, title, name (of the metric), xLabel, whole (x), series: a list of
// {label, color, dashed, x, y}.
function lineChart(options) {
  const {id, title, name, series} = options;
  const plot = h("div", {class: "plot"});
  const tip = h("div", {class: "tip", role: "status", hidden: true});
  let redraw = () => {};
  const figure = h("figure", {class: "card", "data-chart": id},
      h("div", {class: "head"}, h("b", {}, title),
        h("span", {class: "toggles"},
          toggle(`${id} log x`, "log x", () => redraw()),
          toggle(`${id} log y`, "log y", () => redraw()))),
      plot,
      h("figcaption", {class: "legend"},
        series.map((s) => key(s.label, s.color, s.dashed))));
  let width = 0;
  redraw = () => { if (width > 0) drawChart(options, plot, tip, width); };
  onWidth(plot, (now) => { width = now; redraw(); });
  return figure;
}

function drawChart(options, plot, tip, width) {
  const {id, series, name} = options;
  const ys = series.flatMap((s) => s.y), xs = series.flatMap((s) => s.x);
  const text = (v, step) => isShare(name)
      ? `${tickText(100 * v, step * 100)} %` : tickText(v, step);
  const tall = HEIGHT - TOP - BOTTOM;
  const y = scaleOf(ys, tall, choices.get(`${id} log y`), false, 5);
  const labels = y ? y.ticks.map((tick) => text(tick, y.step)) : [];
  const left = 12 + 6.4 * Math.max(2, ...labels.map((label) => label.length));
  const wide = Math.max(40, width - left - RIGHT);
  const x = scaleOf(xs, wide, choices.get(`${id} log x`), options.whole,
                    Math.max(2, Math.floor(wide / 60)));
  if (!x || !y) {
    plot.replaceChildren(h("p", {class: "note"}, "No positive values."));
    return;
  }
  const toX = (v) => left + x.place(v), toY = (v) => TOP + tall - y.place(v);
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, tabindex: 0, role: "img",
    "aria-label": summary(options)});
  drawAxes(picture, {x, y, toX, toY, left, wide, tall, labels,
                     xLabel: options.xLabel});
  for (const s of series) drawSeries(picture, s, x, y, toX, toY);
  plot.replaceChildren(picture, tip);
  addCursor({options, plot, tip, picture, x, y, toX, toY, tall});
}

// For who cannot see the curves.
function summary({title, xLabel, series, name}) {
  const parts = series.map((s) => {
    const known = s.y.filter((v) => v !== null);
    return `${s.label} from ${metricText(name, known[0])} to ` +
        `${metricText(name, known[known.length - 1])}`;
  });
  return `${title} by ${xLabel}: ${parts.join("; ")}. Arrow keys read values.`;
}

function drawAxes(picture, {x, y, toX, toY, left, wide, tall, labels, xLabel}) {
  y.ticks.forEach((tick, i) => {
    picture.append(
        svg("line", {class: "rule", x1: left, x2: left + wide,
                     y1: toY(tick), y2: toY(tick)}),
        svg("text", {x: left - 6, y: toY(tick) + 4, "text-anchor": "end"},
            labels[i]));
  });
  for (const tick of x.ticks) {
    picture.append(
        svg("line", {class: "axis", x1: toX(tick), x2: toX(tick),
                     y1: TOP + tall, y2: TOP + tall + 4}),
        svg("text", {x: toX(tick), y: TOP + tall + 16, "text-anchor": "middle"},
            tickText(tick, x.step)));
  }
  picture.append(
      svg("line", {class: "axis", x1: left, x2: left + wide,
                   y1: TOP + tall, y2: TOP + tall}),
      svg("text", {x: left + wide, y: HEIGHT - 3, "text-anchor": "end"},
          xLabel));
}

function drawSeries(picture, s, x, y, toX, toY) {
  let path = "", pen = "M";
  const dots = [];
  s.x.forEach((at, i) => {
    if (!x.shows(at) || !y.shows(s.y[i])) { pen = "M"; return; }
    path += `${pen}${toX(at).toFixed(1)},${toY(s.y[i]).toFixed(1)}`;
    pen = "L";
    dots.push([toX(at), toY(s.y[i])]);
  });
  picture.append(svg("path", {class: "line", d: path, stroke: s.color,
      "data-points": dots.length, "data-label": s.label,
      "stroke-dasharray": s.dashed ? "5 4" : null}));
  if (dots.length > 30) return;
  for (const [cx, cy] of dots) {
    picture.append(svg("circle", {cx, cy, r: 2.3, fill: s.color}));
  }
}

// Reading values: by pointer the nearest epoch, by keys one after the other.
function addCursor({options, plot, tip, picture, x, y, toX, toY, tall}) {
  const places = [...new Set(options.series.flatMap((s) => s.x))]
      .filter(x.shows).sort((a, b) => a - b);
  const line = svg("line", {class: "cursor", y1: TOP, y2: TOP + tall,
                            visibility: "hidden"});
  const marks = svg("g", {});
  picture.append(line, marks);
  let at = -1;
  const hide = () => {
    at = -1;
    tip.hidden = true;
    line.setAttribute("visibility", "hidden");
    marks.replaceChildren();
  };
  const show = (index) => {
    at = index;
    const place = places[index], px = toX(place);
    line.setAttribute("x1", px);
    line.setAttribute("x2", px);
    line.setAttribute("visibility", "visible");
    marks.replaceChildren();
    let top = TOP + tall;
    const rows = [];
    for (const s of options.series) {
      const i = s.x.indexOf(place);
      if (i < 0 || s.y[i] === null) continue;
      rows.push(h("tr", {}, h("td", {}, key(s.label, s.color, s.dashed)),
                  h("td", {}, metricText(options.name, s.y[i]))));
      if (!y.shows(s.y[i])) continue;
      top = Math.min(top, toY(s.y[i]));
      marks.append(svg("circle", {cx: px, cy: toY(s.y[i]), r: 4,
                                  fill: s.color}));
    }
    showTip(plot, tip, px, top, [h("b", {}, `${options.xLabel} ${place}`),
                                 h("table", {}, h("tbody", {}, rows))]);
  };
  picture.addEventListener("pointermove", (event) => {
    const px = event.clientX - picture.getBoundingClientRect().left;
    let best = 0;
    places.forEach((place, i) => {
      if (Math.abs(toX(place) - px) < Math.abs(toX(places[best]) - px)) best = i;
    });
    show(best);
  });
  picture.addEventListener("pointerleave", hide);
  picture.addEventListener("blur", hide);
  picture.addEventListener("keydown", (event) => {
    const steps = {ArrowRight: at + 1, ArrowLeft: at < 0 ? places.length - 1
                   : at - 1, Home: 0, End: places.length - 1};
    if (event.key === "Escape") hide();
    if (!(event.key in steps)) return;
    event.preventDefault();
    show(Math.max(0, Math.min(places.length - 1, steps[event.key])));
  });
}
