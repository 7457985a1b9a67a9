// Puts the page together, and keeps a live one up to date.

const SECTIONS = [
  ["overview", "Overview", overview],
  ["advice", "Advice", advice],
  ["curves", "Curves", curves],
  ["rates", "Learning rate", learningRates],
  ["histograms", "Histograms", histograms],
  ["filters", "Filters", filters],
  ["confusion", "Confusion", confusions],
  ["timings", "Timings", timings],
  ["products", "Products", lineage],
  ["network", "Network", network],
  ["recipe", "Recipe", recipe],
];

function render(data) {
  const names = data.runs.map((run) => run.name);
  document.title = `${names.join(", ")} – Tamer report`;
  document.getElementById("title").textContent =
      names.length === 1 ? names[0] : `${names.length} runs`;
  document.getElementById("runs").replaceChildren(
      ...(names.length > 1 ? names.map((name, r) => key(name, colour(r))) : []));
  repaints.clear();
  const links = [], sections = [];
  for (const [id, title, make] of SECTIONS) {
    const content = make(data);
    if (content === null) continue;
    links.push(h("li", {}, h("a", {href: `#${id}`}, title)));
    sections.push(h("section", {id, "aria-labelledby": `${id}-title`},
                    h("h2", {id: `${id}-title`}, title), content));
  }
  keepOpen(sections);
  document.getElementById("nav").replaceChildren(h("ol", {}, links));
  document.getElementById("content").replaceChildren(...sections);
  document.getElementById("footer").textContent = [...new Set(data.runs.map(
      (run) => `Tamer ${run.version}, ${run.machine}`))].join("; ");
  followScroll(sections);
}

// What the reader opened or shut stays so when the page is drawn anew.
function keepOpen(sections) {
  for (const section of sections) {
    section.querySelectorAll("details").forEach((part, i) => {
      const id = `${section.id} details ${part.querySelector("summary").textContent}`;
      if (choices.has(id)) part.open = choices.get(id);
      part.addEventListener("toggle", () => choices.set(id, part.open));
    });
  }
}

// Marks the section that is being read.
let follower = null;
function followScroll(sections) {
  follower?.disconnect();
  const visible = new Set();
  follower = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      visible[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    }
    const current = sections.find((section) => visible.has(section.id));
    for (const link of document.querySelectorAll("#nav a")) {
      if (current && link.hash === `#${current.id}`) {
        link.setAttribute("aria-current", "true");
      } else {
        link.removeAttribute("aria-current");
      }
    }
  }, {rootMargin: "-15% 0px -60% 0px"});
  for (const section of sections) follower.observe(section);
}

function showProgress(progress) {
  const place = document.getElementById("progress");
  place.hidden = false;
  if (!progress || !progress.stage) {
    place.replaceChildren(progress?.ended || "Waiting for the first steps …");
    return;
  }
  const where = [progress.stage, progress.layer].filter(Boolean).join("/");
  const metrics = Object.entries(progress.metrics || {}).map(
      ([name, value]) => `${metricName(name)} ${metricText(name, value)}`);
  const share = progress.steps ? progress.step / progress.steps : 0;
  place.replaceChildren(
      `${where}, epoch ${progress.epoch} of ${progress.epochs}: `,
      [...metrics, `${numberText(Math.round(progress.samples_per_second))} samples/s`,
       `${durationText(progress.seconds_left)} left`].join(", "),
      h("progress", {max: 1, value: share, "aria-label": "of this epoch"}));
}

// Asks the server every two seconds; what didn't change isn't drawn anew.
async function follow(version) {
  let pause = 2000;
  try {
    const answer = await fetch(`data.json?since=${version}`, {cache: "no-store"});
    const news = await answer.json();
    showProgress(news.progress);
    if (news.runs) render(news);
    version = news.version;
    if (news.progress?.ended) return;
  } catch {
    showProgress({ended: "The training that served this page has ended, or it " +
                         "cannot be reached."});
    pause = 5000;
  }
  setTimeout(() => follow(version), pause);
}

setUpTheme();
const data = JSON.parse(document.getElementById("data").textContent);
render(data);
if (data.live) follow(data.version ?? -1);
