// The report's sections. Each function takes the data and gives what stands
// below the section's heading, or null if there is nothing to show.

// What of a phase is no measure of how well it learns.
const NO_METRICS = new Set(["step", "learning_rate", "samples_per_second",
    "seconds", "workers", "waiting_share", "slowest_worker", "averagings",
    "bytes_sent"]);

const phaseKey = (phase) => [phase.stage, phase.layer,
    phase.again > 1 ? `again ${phase.again - 1}` : ""].filter(Boolean).join(", ");

// The phases of all runs, those of one name together: [name, [[run, phase], …]].
function phaseGroups({runs}) {
  const groups = new Map();
  runs.forEach((run, r) => {
    for (const phase of run.phases) {
      const name = phaseKey(phase);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push([r, phase]);
    }
  });
  return [...groups];
}

const kindOf = (run, stage) =>
    (run.stages.find((one) => one.name === stage) || {kind: ""}).kind;

function overview({runs}) {
  if (runs.length === 0) return null;
  return h("div", {class: runs.length > 1 ? "grid" : null}, runs.map((run, r) => {
    const facts = [];
    for (const done of run.finished) {
      for (const [name, value] of Object.entries(done)) {
        if (!name.startsWith("test_")) continue;
        facts.push([`${done.stage}: ${metricName(name)}`, metricText(name, value)]);
      }
    }
    const seconds = run.phases.flatMap((phase) => phase.values.seconds || []);
    const epochs = run.phases.reduce((sum, phase) => sum + phase.epoch.length, 0);
    facts.push(["epochs", numberText(epochs)]);
    if (seconds.length > 0) {
      facts.push(["time in epochs",
                  durationText(seconds.reduce((a, b) => a + b, 0))]);
    }
    if (run.network) {
      facts.push(["parameters", numberText(run.network.parameters)]);
      facts.push(["nodes", numberText(run.network.nodes)]);
    }
    const stages = run.stages.map((stage) => {
      const done = run.finished.some((one) => one.stage === stage.name);
      return `${stage.name} (${stage.kind}${done ? "" : ", not finished"})`;
    });
    return h("div", {class: "card"},
        runs.length > 1 ? h("div", {class: "head"}, key(run.name, colour(r)))
                        : null,
        h("dl", {class: "tiles"}, facts.map(([what, value]) =>
            h("div", {}, h("dt", {}, what), h("dd", {}, value)))),
        h("p", {class: "legend"}, stages.join(" → ")),
        run.notes.map((note) => h("p", {class: "legend"}, `Left out: ${note}`)));
  }));
}

function advice({runs}) {
  const items = runs.flatMap((run, r) => (run.advice || []).map((one) =>
      h("li", {class: `card ${one.severity}`},
        h("div", {class: "what"}, `${one.severity}: ${one.rule}`,
          runs.length > 1 ? ` — ${run.name}` : ""),
        h("p", {}, one.text), one.mend ? h("p", {}, h("b", {}, "Mend: "), one.mend)
                                       : null)));
  return items.length ? h("ul", {class: "advice"}, items) : null;
}

// The metrics of a group of phases; "validation_loss" goes with "loss".
function metricCharts(group, name, runs) {
  const charts = new Map();
  for (const [r, phase] of group) {
    for (const [metric, values] of Object.entries(phase.values)) {
      if (NO_METRICS.has(metric)) continue;
      const base = metric.replace(/^validation_/, "");
      if (!charts.has(base)) charts.set(base, []);
      const held = metric !== base, series = charts.get(base);
      const kind = held ? "validation" : "training";
      series.push({
        label: runs.length > 1 ? `${runs[r].name}, ${kind}` : kind,
        color: runs.length > 1 ? colour(r) : colour(held ? 1 : 0),
        dashed: held, x: phase.epoch, y: values});
    }
  }
  return [...charts].map(([metric, series]) => lineChart({
    id: `${name} ${metric}`, title: metricName(metric), name: metric,
    xLabel: "epoch", whole: true, series}));
}

function curves(data) {
  const groups = phaseGroups(data);
  if (groups.length === 0) return null;
  return groups.map(([name, group]) => {
    const [r, phase] = group[0];
    return [h("h3", {}, name, h("small", {}, kindOf(data.runs[r], phase.stage))),
            h("div", {class: "grid"}, metricCharts(group, name, data.runs))];
  });
}

function perPhase(data, metric, title) {
  return phaseGroups(data).map(([name, group]) => {
    const series = group.filter(([, phase]) => phase.values[metric])
        .map(([r, phase]) => ({label: data.runs[r].name, color: colour(r),
                               x: phase.epoch, y: phase.values[metric]}));
    return series.length === 0 ? null : lineChart({
      id: `${name} ${metric}`, title: `${name}: ${title}`, name: metric,
      xLabel: "epoch", whole: true, series});
  }).filter(Boolean);
}

function learningRates(data) {
  const charts = perPhase(data, "learning_rate", "learning rate");
  return charts.length ? h("div", {class: "grid"}, charts) : null;
}

function histograms({runs}) {
  const parts = runs.flatMap((run) => {
    const groups = new Map();
    for (const tensor of run.histograms) {
      const name = `${phaseKey(tensor)}: ${tensor.kind}s`;
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(tensor);
    }
    return [...groups].map(([name, tensors], i) =>
        h("details", {open: i >= groups.size - 2},
          h("summary", {}, runs.length > 1 ? `${run.name}, ${name}` : name),
          h("div", {class: "grid small"}, tensors.map((tensor) =>
              ridgeChart(tensor, colour(tensor.kind === "weight" ? 0 : 2))))));
  });
  return parts.length === 0 ? null : [
    h("p", {class: "note"}, "A ridge an epoch, the first at the back, each as high " +
      "as its most frequent number. Activations are those of the first minibatch " +
      "of the training data."), parts];
}

function filters({runs}) {
  const sheets = runs.flatMap((run) => (run.filters || []).map((sheet) => ({
    ...sheet, stage: runs.length > 1 ? `${run.name}, ${sheet.stage}` : sheet.stage})));
  return sheets.length === 0 ? null : [
    h("p", {class: "note"}, "What units of the first layer look for: orange where a " +
      "bright pixel excites them, blue where it inhibits, each by its own largest " +
      "weight."),
    h("div", {class: "grid"}, sheets.map(filterSheet))];
}

function confusions({runs}) {
  const shown = runs.filter((run) => run.confusion);
  return shown.length === 0 ? null : shown.map((run) => [
    runs.length > 1 ? h("h3", {}, run.name) : null,
    h("p", {class: "note"}, `Rows are labels, columns what was predicted, of ` +
      `${numberText(run.confusion.samples)} samples; ` +
      `${metricText("accuracy", run.confusion.accuracy)} are right. Choose an orange ` +
      `cell for its worst examples.`),
    confusionView(run.confusion)]);
}

function timings(data) {
  const {runs} = data;
  const rows = runs.flatMap((run, r) => run.phases.map((phase) => {
    const total = (values) => (values || []).reduce((a, b) => a + (b || 0), 0);
    const speeds = (phase.values.samples_per_second || []).filter(Boolean);
    return {run, r, name: phaseKey(phase), epochs: phase.epoch.length,
            seconds: total(phase.values.seconds),
            speed: speeds.length ? total(speeds) / speeds.length : 0};
  }));
  const most = Math.max(...rows.map((row) => row.seconds), 1e-9);
  if (rows.length === 0) return null;
  const columns = [runs.length > 1 ? "run" : null, "phase", "", "time", "epochs",
                   "samples/s"].filter((name) => name !== null);
  return [
    h("div", {class: "card wide"}, h("table", {class: "list"},
      h("thead", {}, h("tr", {}, columns.map((name) =>
          h("th", {class: /time|epochs|samples/.test(name) ? "number" : null},
            name)))),
      h("tbody", {}, rows.map((row) => h("tr", {},
        runs.length > 1 ? h("td", {}, row.run.name) : null,
        h("td", {}, row.name),
        h("td", {class: "bar-cell"}, h("i", {style:
            `width:${100 * row.seconds / most}%;background:${colour(row.r)}`})),
        h("td", {class: "number"}, durationText(row.seconds)),
        h("td", {class: "number"}, row.epochs),
        h("td", {class: "number"}, numberText(Math.round(row.speed)))))))),
    h("h3", {}, "Speed by epoch"),
    h("div", {class: "grid"},
      perPhase(data, "samples_per_second", "samples a second"))];
}

// Products as what came from what. A parent may stand in another run.
function lineage({runs}) {
  const products = runs.flatMap((run, r) =>
      run.products.map((product) => ({...product, r})));
  if (products.length === 0) return null;
  const known = new Set(products.map((product) => product.id));
  const item = (product) => {
    const facts = [`${product.epochs} epochs`];
    if (product.generation > 1) facts.push(`generation ${product.generation}`);
    for (const [name, value] of Object.entries(product.metrics || {})) {
      facts.push(`${metricName(name)} ${metricText(name, value)}`);
    }
    if (product.parent && !known.has(product.parent)) {
      facts.push(`from ${product.parent}, which is not in these runs`);
    }
    const children = products.filter((other) => other.parent === product.id &&
                                                other.r === product.r);
    return h("li", {}, key(product.stage, colour(product.r)), " ",
        h("span", {class: "path"}, product.id),
        h("div", {class: "facts"}, facts.join(" · ")),
        h("div", {class: "facts path"}, product.path),
        children.length ? h("ul", {}, children.map(item)) : null);
  };
  const roots = products.filter((product) =>
      !products.some((other) => other.id === product.parent &&
                                other.r === product.r));
  return h("div", {class: "card"}, h("ul", {class: "tree"}, roots.map(item)));
}

function network({runs}) {
  const seen = new Set();
  const parts = runs.filter((run) => {
    const text = run.network?.svg;
    return text && !seen.has(run.network.text) && seen.add(run.network.text);
  }).map((run) => {
    const parsed = new DOMParser().parseFromString(run.network.svg,
                                                   "image/svg+xml");
    const picture = document.importNode(parsed.documentElement, true);
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", `The network of ${run.name}`);
    return [seen.size > 1 ? h("h3", {}, run.name) : null,
            h("div", {class: "card network", tabindex: 0}, picture),
            h("details", {}, h("summary", {}, "as text"),
              h("div", {class: "card"}, prototext(run.network.text)))];
  });
  return parts.length ? parts : null;
}

// Protobuf's text with its comments, strings, numbers and names told apart.
function prototext(text) {
  const token = /(#.*)|("(?:\\.|[^"\\])*")|(-?\b\d[\w.+-]*)|(\[?\w[\w/]*\]?)(?=\s*[:{])/g;
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(token)) {
    parts.push(text.slice(from, match.index));
    const kind = "csnk"[match.slice(1).findIndex((part) => part !== undefined)];
    parts.push(h("span", {class: kind}, match[0]));
    from = match.index + match[0].length;
  }
  return h("pre", {tabindex: 0}, parts, text.slice(from));
}

function recipe({runs}) {
  return runs.length === 0 ? null : runs.map((run) => h("details", {open: runs.length === 1},
      h("summary", {}, run.recipe_file || run.name),
      h("div", {class: "card"}, prototext(run.recipe))));
}
