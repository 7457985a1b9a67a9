// How the numbers of a tensor were spread from epoch to epoch: a ridge for each,
// the first at the back, as high as its most frequent number.

function ridgeChart(tensor, color) {
  const plot = h("div", {class: "plot"});
  const tip = h("div", {class: "tip", role: "status", hidden: true});
  const last = tensor.epochs[tensor.epochs.length - 1];
  const figure = h("figure", {class: "card"},
      h("div", {class: "head"}, h("b", {}, tensor.name)), plot,
      h("figcaption", {class: "legend"},
        `epoch ${last.epoch}: mean ${numberText(last.mean)}, deviation ` +
        numberText(last.deviation)));
  onWidth(plot, (width) => drawRidges(tensor, color, plot, tip, width));
  return figure;
}

function drawRidges(tensor, color, plot, tip, width) {
  const epochs = tensor.epochs;
  const left = 30, right = 10, peak = 46, top = 6;
  const gap = Math.min(14, 110 / Math.max(1, epochs.length - 1));
  const foot = top + peak + gap * (epochs.length - 1);
  const height = foot + BOTTOM;
  const wide = width - left - right;
  const ends = epochs.flatMap((e) => [e.low, e.high]);
  const x = scaleOf(ends, wide, false, false, Math.floor(wide / 65));
  const toX = (v) => left + x.place(v);
  const picture = svg("svg", {viewBox: `0 0 ${width} ${height}`, height,
      tabindex: 0, role: "img", "aria-label": ridgeSummary(tensor)});
  for (const tick of x.ticks) {
    picture.append(
        svg("line", {class: "rule", x1: toX(tick), x2: toX(tick), y1: top,
                     y2: foot + 4}),
        svg("text", {x: toX(tick), y: foot + 16, "text-anchor": "middle"},
            tickText(tick, x.step)));
  }
  const ridges = epochs.map((epoch, i) => {
    const base = top + peak + gap * i;
    const strength = epochs.length === 1 ? 1 : 0.3 + 0.7 * i / (epochs.length - 1);
    const ridge = svg("path", {class: "ridge", d: ridgePath(epoch, base, peak, toX),
        stroke: `color-mix(in srgb, ${color} ${Math.round(100 * strength)}%, var(--card))`});
    picture.append(ridge);
    if (i === 0 || i === epochs.length - 1) {
      picture.append(svg("text", {x: left - 6, y: base + 4,
                                  "text-anchor": "end"}, String(epoch.epoch)));
    }
    return ridge;
  });
  plot.replaceChildren(picture, tip);
  addRidgeCursor({tensor, plot, tip, picture, ridges, top, peak, gap, toX});
}

function ridgePath(epoch, base, peak, toX) {
  const most = Math.max(1, ...epoch.counts), bins = epoch.counts.length;
  const width = (epoch.high - epoch.low) / bins;
  let path = `M${toX(epoch.low).toFixed(1)},${base}`;
  epoch.counts.forEach((count, i) => {
    const at = epoch.low + (i + 0.5) * width;
    path += `L${toX(at).toFixed(1)},${(base - peak * count / most).toFixed(1)}`;
  });
  return `${path}L${toX(epoch.high).toFixed(1)},${base}`;
}

function ridgeSummary({name, epochs}) {
  const last = epochs[epochs.length - 1];
  return `${name}: ${epochs.length} histograms; at epoch ${last.epoch} mean ` +
      `${numberText(last.mean)}, from ${numberText(last.low)} to ` +
      `${numberText(last.high)}. Up and down keys read the epochs.`;
}

function addRidgeCursor({tensor, plot, tip, picture, ridges, top, peak, gap, toX}) {
  let at = -1;
  const hide = () => {
    if (at >= 0) ridges[at].classList.remove("at");
    at = -1;
    tip.hidden = true;
  };
  const show = (index) => {
    hide();
    at = index;
    ridges[at].classList.add("at");
    const epoch = tensor.epochs[at];
    showTip(plot, tip, toX(epoch.mean), top + peak + gap * at, [
      h("b", {}, `epoch ${epoch.epoch}`),
      h("table", {}, h("tbody", {}, [
        ["mean", epoch.mean], ["deviation", epoch.deviation],
        ["least", epoch.low], ["greatest", epoch.high],
      ].map(([what, value]) => h("tr", {}, h("td", {}, what),
                                 h("td", {}, numberText(value))))))]);
  };
  const clamp = (i) => Math.max(0, Math.min(tensor.epochs.length - 1, i));
  picture.addEventListener("pointermove", (event) => {
    const py = event.clientY - picture.getBoundingClientRect().top;
    show(clamp(gap === 0 ? 0 : Math.round((py - top - peak * 0.6) / gap)));
  });
  picture.addEventListener("pointerleave", hide);
  picture.addEventListener("blur", hide);
  picture.addEventListener("keydown", (event) => {
    const step = {ArrowUp: -1, ArrowDown: 1}[event.key];
    if (event.key === "Escape") hide();
    if (!step) return;
    event.preventDefault();
    show(clamp(at < 0 ? tensor.epochs.length - 1 : at + step));
  });
}
