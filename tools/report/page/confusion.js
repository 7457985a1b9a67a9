// Images, and what a classifier takes for what.

const bytesOf = (images) => {
  if (!images.decoded) {
    images.decoded = Uint8Array.from(atob(images.bytes), (c) => c.charCodeAt(0));
  }
  return images.decoded;
};

// Signed weights: blue below zero, orange above, the ground's colour at zero.
function diverging(byte, dark) {
  const value = (byte - 128) / 127;
  const ground = dark ? [26, 29, 36] : [255, 255, 255];
  const end = value < 0 ? (dark ? [86, 180, 233] : [0, 92, 158])
                        : (dark ? [255, 154, 86] : [190, 76, 0]);
  const share = Math.min(1, Math.abs(value));
  return ground.map((g, i) => g + (end[i] - g) * share);
}

// Image `index` of a set, one pixel a number.
function imageCanvas(images, index, label, signed) {
  const {width, height, channels} = images;
  const canvas = h("canvas", {width, height, role: "img", "aria-label": label});
  onTheme(() => {
    const bytes = bytesOf(images), size = width * height * channels;
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    for (let i = 0; i < width * height; ++i) {
      const from = index * size + i * channels;
      const grey = channels === 1;
      const rgb = grey && signed ? diverging(bytes[from], isDark())
          : [0, 1, 2].map((c) => bytes[from + (grey ? 0 : c)]);
      pixels.data.set([...rgb, 255], 4 * i);
    }
    context.putImageData(pixels, 0, 0);
  });
  return canvas;
}

function filterSheet(filters) {
  return h("figure", {class: "card"},
      h("div", {class: "head"}, h("b", {}, `${filters.stage}: ${filters.node}`),
        h("span", {class: "legend"}, filters.count < filters.units
            ? `the first ${filters.count} of ${filters.units} units`
            : `${filters.units} units`)),
      h("div", {class: "filters"}, Array.from({length: filters.count}, (_, i) =>
          imageCanvas(filters, i, `weights of unit ${i}`, true))));
}

function exampleList({worst, classes}, chosen) {
  const items = [];
  worst.examples.forEach((example, i) => {
    const {label, predicted} = example;
    const fits = !chosen ||
        (label === chosen[0] && predicted === chosen[1]);
    if (!fits || items.length >= (chosen ? 12 : 24)) return;
    items.push(h("li", {},
        worst.images ? imageCanvas(worst.images, i,
            `sample ${example.row}, a ${classes[label]}`) : null,
        h("b", {}, classes[predicted]), `, is ${classes[label]}`,
        h("span", {}, `sure ${(100 * example.sure).toFixed(1)} %`),
        h("span", {}, `sample ${example.row}`)));
  });
  return h("ul", {class: "examples"}, items);
}

function confusionView(confusion) {
  const {classes} = confusion;
  const title = h("b", {}), list = h("div", {"aria-live": "polite"});
  const panel = h("div", {class: "card"}, h("div", {class: "head"}, title), list);
  let pressed = null;
  const choose = (chosen, button) => {
    pressed?.setAttribute("aria-pressed", "false");
    pressed = button === pressed ? null : button;
    pressed?.setAttribute("aria-pressed", "true");
    if (!pressed) chosen = null;
    title.textContent = chosen
        ? `${classes[chosen[0]]} taken for ${classes[chosen[1]]}`
        : "Surest and wrong";
    list.replaceChildren(exampleList(confusion, chosen));
  };
  choose(null, null);
  return h("div", {class: "confusion"},
           h("div", {class: "card wide"}, matrix(confusion, choose)), panel);
}

function matrix({confusion, classes, worst}, choose) {
  const pairs = new Set(
      worst.examples.map(({label, predicted}) => `${label} ${predicted}`));
  const named = classes.some((name) => name.length > 2);
  const mostWrong = Math.max(1, ...confusion.flatMap(
      (counts, label) => counts.filter((_, predicted) => predicted !== label)));
  const rows = confusion.map((counts, label) => {
    const sum = Math.max(1, counts.reduce((a, b) => a + b, 0));
    return h("tr", {}, h("th", {scope: "row"}, classes[label]),
        counts.map((count, predicted) => {
          const right = label === predicted;
          const tint = Math.round(right ? 85 * count / sum
                                        : 8 + 62 * count / mostWrong);
          const style = count === 0 ? null : `background:color-mix(in srgb, ` +
              `var(--${right ? "good" : "bad"}) ${tint}%, var(--card))` +
              (right && tint > 55 ? ";color:var(--card)" : "");
          const what = `${classes[label]} taken for ${classes[predicted]}: ${count}`;
          if (count === 0 || right || !pairs.has(`${label} ${predicted}`)) {
            return h("td", {}, h("span", {style, title: what,
                class: count === 0 ? "zero" : null}, count === 0 ? "·" : count));
          }
          const button = h("button", {type: "button", style, title: what,
              "aria-label": what, "aria-pressed": "false",
              onclick: () => choose([label, predicted], button)}, count);
          return h("td", {}, button);
        }),
        h("td", {}, h("span", {title: "recall"},
                      (100 * counts[label] / sum).toFixed(1))));
  });
  return h("table", {class: `matrix${named ? " named" : ""}`},
      h("thead", {}, h("tr", {}, h("th", {}, "label"),
        classes.map((name) => h("th", {scope: "col"}, h("span", {}, name))),
        h("th", {scope: "col"}, h("span", {}, "recall %")))),
      h("tbody", {}, rows));
}
