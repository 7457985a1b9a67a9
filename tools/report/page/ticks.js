// Numbers as people read them, and the ticks of axes.

function niceStep(range, count) {
  const rough = range / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((nice) => nice * power >= rough * 0.999);
  return step * power;
}

// Ticks at round numbers, and a domain that ends at such.
function linearTicks(low, high, count, whole) {
  if (low === high) {
    const pad = Math.abs(low) * 0.1 || 1;
    if (!whole) [low, high] = [low - pad, high + pad];
  }
  let step = niceStep(high - low || 1, count);
  if (whole) step = Math.max(1, Math.round(step));
  const first = whole ? Math.ceil(low / step) : Math.floor(low / step + 1e-9);
  const last = whole ? Math.floor(high / step) : Math.ceil(high / step - 1e-9);
  const ticks = [];
  for (let i = first; i <= last; ++i) ticks.push(i * step);
  return {ticks, low: whole ? low : first * step,
          high: whole ? high : last * step};
}

// At powers of ten; at 2 and 5 times these, too, where they are few.
function logTicks(low, high) {
  const decades = Math.log10(high / low);
  const factors = decades > 3 ? [1] : decades > 1 ? [1, 2, 5]
                : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  const all = [];
  for (let p = Math.floor(Math.log10(low)) - 1; p <= Math.log10(high) + 1; ++p) {
    for (const factor of factors) all.push(factor * 10 ** p);
  }
  const first = all.filter((tick) => tick <= low * 1.0001).pop() ?? low;
  const last = all.find((tick) => tick >= high * 0.9999) ?? high;
  let ticks = all.filter((tick) => tick >= first && tick <= last);
  const most = 7;
  if (ticks.length > most) {
    const every = Math.ceil(ticks.length / most);
    ticks = ticks.filter((_, i) => i % every === 0);
  }
  return {ticks, low: first, high: last};
}

function tickText(value, step) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) {
    return value.toExponential(1).replace(".0e", "e").replace("e+", "e")
        .replace("-", "−");
  }
  const digits = step ? Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) : 6;
  const text = step ? value.toFixed(Math.min(8, digits))
                    : String(Number(value.toPrecision(3)));
  return (size >= 1e4 ? Number(text).toLocaleString("en") : text)
      .replace("-", "−");
}

// Four digits, as the command line prints them.
function numberText(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  if (size >= 1e6 || size < 1e-4) return value.toExponential(3);
  return String(Number(value.toPrecision(4)));
}

const isShare = (name) => /accuracy$/.test(name);
const metricText = (name, value) => value === null || value === undefined ? "–"
    : isShare(name) ? `${(100 * value).toFixed(2)} %` : numberText(value);
const metricName = (name) => name.replaceAll("_", " ");

function durationText(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const s = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  return s >= 3600
      ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)} h`
      : `${Math.floor(s / 60)}:${two(s % 60)} min`;
}
