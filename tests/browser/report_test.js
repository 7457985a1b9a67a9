// Looks at reports as a reader does. Called by report_test.sh:
//   pages ONE.html TWO.html RUN OTHER_RUN, or live ADDRESS RUN PID.
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const {chromium} =
    require(path.join(process.env.TAMER_PLAYWRIGHT, "node_modules/playwright-core"));

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
  "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"];

const lines = (file) => fs.readFileSync(file, "utf8").trim().split("\n")
    .map((line) => JSON.parse(line));

// A page that complains of every error and of everything asked from elsewhere.
async function open(browser, url, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") {
      page.complaints.push(message.text());
    }
  });
  page.on("pageerror", (error) => page.complaints.push(error.message));
  page.on("request", (request) => {
    const asked = request.url();
    if (!asked.startsWith(url.startsWith("file:") ? url : new URL(url).origin) &&
        !asked.startsWith("data:")) {
      page.complaints.push(`asked for ${asked}`);
    }
  });
  await page.goto(url);
  await page.waitForSelector("#curves .plot svg");
  return page;
}

const chart = (id) => `[data-chart="${id}"]`;

// Walks along a curve by the arrow keys and reads each value that it shows.
async function readByKeys(page, id, count) {
  const picture = page.locator(`${chart(id)} svg`);
  await picture.scrollIntoViewIfNeeded();
  await picture.focus();
  const seen = [];
  for (let i = 0; i < count; ++i) {
    await page.keyboard.press("ArrowRight");
    const tip = page.locator(`${chart(id)} .tip`);
    assert.ok(await tip.isVisible(), `${id}: nothing is shown`);
    const rows = await tip.locator("tr").evaluateAll((all) => all.map(
        (row) => [...row.cells].map((cell) => cell.textContent)));
    seen.push({epoch: (await tip.locator("b").textContent()).split(" ")[1], rows});
  }
  return seen;
}

function assertShown(text, value, what) {
  if (text.endsWith("%")) {
    assert.ok(Math.abs(Number.parseFloat(text) - 100 * value) < 0.006,
              `${what}: ${text} for ${value}`);
  } else {
    const number = Number(text.replaceAll(",", ""));
    assert.ok(Math.abs(number - value) <= 6e-4 * Math.abs(value),
              `${what}: ${text} for ${value}`);
  }
}

async function curvesHoldValues(page, run) {
  const all = lines(path.join(run, "metrics.jsonl")).filter((line) => line.epoch);
  let checked = 0;
  for (const [phase, stage, metrics] of [
    ["features, h1", "features", ["reconstruction_error"]],
    ["labels", "labels", ["loss", "accuracy"]]]) {
    const epochs = all.filter((line) => line.stage === stage);
    for (const metric of metrics) {
      const id = `${phase} ${metric}`;
      const seen = await readByKeys(page, id, epochs.length);
      epochs.forEach((line, i) => {
        assert.equal(seen[i].epoch, String(line.epoch), id);
        assertShown(seen[i].rows[0][1], line[metric], id);
        if (`validation_${metric}` in line) {
          assert.equal(seen[i].rows[1][0], "validation");
          assertShown(seen[i].rows[1][1], line[`validation_${metric}`], id);
          ++checked;
        }
        ++checked;
      });
      // Where the curve goes, too: heights are to one another as the values.
      const heights = await page.locator(`${chart(id)} svg path.line`).first()
          .evaluate((line) => line.getAttribute("d").slice(1).split("L")
              .map((point) => Number(point.split(",")[1])));
      const values = epochs.map((line) => line[metric]);
      const low = values.indexOf(Math.min(...values));
      const high = values.indexOf(Math.max(...values));
      const scale = (heights[high] - heights[low]) / (values[high] - values[low]);
      assert.ok(scale < 0, `${id}: less is not lower`);
      values.forEach((value, i) => {
        const wanted = heights[low] + scale * (value - values[low]);
        assert.ok(Math.abs(heights[i] - wanted) < 0.2, `${id}: point ${i}`);
      });
    }
  }
  assert.ok(checked >= 3 + 4 * 6, `only ${checked} values`);
}

async function hoverShowsValues(page, run) {
  const last = lines(path.join(run, "metrics.jsonl"))
      .filter((line) => line.stage === "labels" && line.epoch).pop();
  const picture = page.locator(`${chart("labels loss")} svg`);
  await picture.scrollIntoViewIfNeeded();
  const box = await picture.boundingBox();
  await page.mouse.move(box.x + box.width - 12, box.y + box.height / 2);
  const tip = page.locator(`${chart("labels loss")} .tip`);
  assert.match(await tip.textContent(), new RegExp(`^epoch ${last.epoch}`));
  assertShown(await tip.locator("tr").first().locator("td").last().textContent(),
              last.loss, "hover");
  await page.mouse.move(box.x + box.width / 2, box.y - 60);
  assert.ok(!await tip.isVisible(), "the values stay when the pointer leaves");
}

async function logAxes(page) {
  const figure = page.locator(chart("labels loss"));
  const before = await figure.locator("path.line").first().getAttribute("d");
  const button = figure.getByRole("button", {name: "log y"});
  await button.click();
  assert.equal(await button.getAttribute("aria-pressed"), "true");
  const after = await figure.locator("path.line").first().getAttribute("d");
  assert.notEqual(after, before);
  await button.click();
  assert.equal(await figure.locator("path.line").first().getAttribute("d"), before);
}

// The contrast of two colours by WCAG 2.
function contrast(a, b) {
  const light = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map((part) => {
      const c = Number(part) / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

const colours = (page) => page.evaluate(() => {
  const of = (selector, what) =>
      getComputedStyle(document.querySelector(selector))[what];
  return {ground: of("body", "backgroundColor"), ink: of("body", "color"),
          card: of(".card", "backgroundColor"), soft: of(".legend", "color"),
          line: of("path.line", "stroke")};
});

async function lightAndDark(browser, url) {
  const grounds = {};
  for (const colorScheme of ["light", "dark"]) {
    const page = await open(browser, url, {colorScheme});
    const seen = await colours(page);
    grounds[colorScheme] = seen.ground;
    for (const on of [seen.ground, seen.card]) {
      assert.ok(contrast(seen.ink, on) >= 7, `${colorScheme}: ${seen.ink} on ${on}`);
      assert.ok(contrast(seen.soft, on) >= 4.5, `${colorScheme}: ${seen.soft} on ${on}`);
      assert.ok(contrast(seen.line, on) >= 3, `${colorScheme}: ${seen.line} on ${on}`);
    }
    // The reader's choice is stronger than the system's.
    const other = colorScheme === "light" ? "dark" : "light";
    await page.getByRole("button", {name: other, exact: true}).click();
    grounds[`${other} chosen`] = (await colours(page)).ground;
    await page.getByRole("button", {name: "auto", exact: true}).click();
    assert.equal((await colours(page)).ground, seen.ground);
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  }
  assert.notEqual(grounds.light, grounds.dark);
  assert.equal(grounds["dark chosen"], grounds.dark);
  assert.equal(grounds["light chosen"], grounds.light);
}

async function phoneWidth(browser, url) {
  for (const width of [390, 320]) {
    const page = await open(browser, url, {viewport: {width, height: 800}});
    await page.locator("details").evaluateAll(
        (all) => all.forEach((part) => { part.open = true; }));
    await page.waitForTimeout(300);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${wide} pixels at ${width}`);
    const plot = await page.locator("#curves .plot svg").first().boundingBox();
    assert.ok(plot.width > width * 0.7, "the curves are too small");
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  }
}

// How many different colours a canvas has.
const shades = (canvas) => canvas.evaluate((one) => new Set(new Uint32Array(
    one.getContext("2d").getImageData(0, 0, one.width, one.height).data.buffer)).size);

async function pictures(page) {
  const filters = page.locator("#filters figure").first().locator("canvas");
  assert.equal(await filters.count(), 64);
  assert.ok(await shades(filters.first()) > 50);
  const cells = await page.locator("#confusion tbody tr").evaluateAll((rows) =>
      rows.map((row) => [...row.querySelectorAll("td")].slice(0, -1).map(
          (cell) => Number(cell.textContent.replace("·", "0")))));
  assert.equal(cells.flat().reduce((a, b) => a + b, 0), 1000);
  const button = page.locator("#confusion table button").first();
  const [, label, predicted, count] =
      (await button.getAttribute("aria-label")).match(/(.*) taken for (.*): (\d+)/);
  await button.click();
  const shown = page.locator("#confusion .examples li");
  assert.equal(await shown.count(), Math.min(6, Number(count)));
  assert.match(await shown.first().textContent(),
               new RegExp(`^${predicted}, is ${label}`));
  assert.ok(await shades(shown.first().locator("canvas")) > 10);
  assert.ok(await page.locator("#histograms path.ridge").count() >= 6);
  assert.equal(await page.locator("#network .node").count(), 3);
  assert.match(await page.locator("#recipe pre").textContent(), /name: "few"/);
  assert.equal(await page.locator("#products li").count(), 2);
  assert.ok(await page.locator("#advice li").count() >= 1);
}

async function overlay(browser, url, names) {
  const page = await open(browser, url, {});
  assert.equal(await page.locator(`${chart("labels loss")} path.line`).count(), 4);
  const labels = await page.locator(`${chart("labels loss")} path.line`)
      .evaluateAll((all) => all.map((line) => line.dataset.label));
  for (const name of names) assert.ok(labels.includes(`${name}, training`), labels);
  const lines = await page.locator(`${chart("labels loss")} path.line`)
      .evaluateAll((all) => all.map((line) => line.getAttribute("d")));
  assert.equal(new Set(lines).size, 4);
  assert.equal(await page.locator("img").count(), 0);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
}

async function pages(browser, [one, two, run, other]) {
  const url = (file) => `file://${path.resolve(file)}`;
  const page = await open(browser, url(one), {viewport: {width: 1280, height: 900}});
  await curvesHoldValues(page, run);
  await hoverShowsValues(page, run);
  await logAxes(page);
  await pictures(page);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
  await lightAndDark(browser, url(one));
  await phoneWidth(browser, url(one));
  await overlay(browser, url(two), [run, other]);
}

async function live(browser, [address, run, pid]) {
  const page = await open(browser, address, {});
  const progress = page.locator("#progress");
  await page.waitForFunction(() =>
      /labels, epoch \d+ of/.test(document.getElementById("progress").textContent),
      null, {timeout: 60000});
  const points = () => page.locator(`${chart("labels loss")} path.line`).first()
      .evaluate((line) => Number(line.dataset.points));
  await page.waitForSelector(`${chart("labels loss")} path.line`);
  const before = await points();
  await page.waitForFunction(([selector, count]) => Number(
      document.querySelector(selector)?.dataset.points) > count,
      [`${chart("labels loss")} path.line`, before], {timeout: 60000});
  const file = fs.readFileSync(path.join(run, "metrics.jsonl"), "utf8");
  assert.ok(await points() <= file.split("\n").length);
  assert.deepEqual(page.complaints, []);
  process.kill(Number(pid), "SIGTERM");
  await page.waitForFunction(() =>
      /has ended/.test(document.getElementById("progress").textContent),
      null, {timeout: 60000});
  assert.ok(await progress.isVisible());
}

(async () => {
  const [mode, ...rest] = process.argv.slice(2);
  const browser = await chromium.launch(
      {executablePath: "/usr/bin/chromium", args: FLAGS});
  try {
    await {pages, live}[mode](browser, rest);
    console.log(`${mode}: all as it should be`);
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
