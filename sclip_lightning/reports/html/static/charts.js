// Distributions of the images' scores, confusions and their matrix.
const BINS = 20;

function svg(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** One histogram of a run: how many images have a score between what and what. */
function histogram(run, metric, most) {
  const values = run.images.filter((image) => image && image.s[metric] != null).map((image) => image.s[metric]);
  const counts = count(values);
  const [width, height, top, foot] = [300, 130, 12, 18];
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height + top + foot}`, role: "img" });
  const step = (width - 2) / BINS;
  counts.forEach((number, bin) => {
    const high = most ? (height * number) / most : 0;
    const bar = svg("rect", { class: "bin", x: 1 + bin * step + 0.5, y: top + height - high, width: step - 1, height: high });
    bar.append(svg("title", {}, `${number} images from ${(100 * bin) / BINS} to ${(100 * (bin + 1)) / BINS} %`));
    picture.append(bar);
  });
  picture.append(svg("line", { class: "base", x1: 0, x2: width, y1: top + height, y2: top + height }));
  for (const tick of [0, 25, 50, 75, 100]) {
    const anchor = tick === 0 ? "start" : tick === 100 ? "end" : "middle";
    picture.append(svg("text", { x: 1 + ((width - 2) * tick) / 100, y: top + height + 13, "text-anchor": anchor }, `${tick} %`));
  }
  const figure = make("figure");
  const caption = make("figcaption", `${run.name}: ${values.length} images`);
  if (values.length) {
    const middle = median(values);
    const x = 1 + (width - 2) * middle;
    picture.append(svg("line", { class: "middle", x1: x, x2: x, y1: 0, y2: top + height }));
    caption.textContent += `, median ${percent(middle)} % (line), lowest ${percent(Math.min(...values))} %`;
  }
  picture.setAttribute("aria-label", caption.textContent);
  figure.append(caption, picture);
  return figure;
}

function count(values) {
  const counts = new Array(BINS).fill(0);
  for (const value of values) counts[Math.min(Math.floor(value * BINS), BINS - 1)] += 1;
  return counts;
}

function drawHistograms() {
  const metric = Number(byId("histogram-metric").value);
  const tallest = DATA.runs.map((run) => Math.max(...count(run.images.filter((image) => image && image.s[metric] != null).map((image) => image.s[metric]))));
  const most = Math.max(...tallest); // one scale for all runs, so that heights can be compared
  byId("histograms").replaceChildren(...DATA.runs.map((run) => histogram(run, metric, most)));
}

function drawConfusions() {
  const run = DATA.runs[Number(byId("confusion-run").value)];
  const columns = [
    { name: "ground truth", value: (row) => DATA.classes[row[0]], show: (row) => className(row[0]) },
    { name: "predicted as", value: (row) => DATA.classes[row[1]], show: (row) => className(row[1]) },
    { name: "pixels", number: true, value: (row) => row[2], show: (row) => row[2].toLocaleString("en") },
    { name: "% of the class", number: true, value: (row) => row[3], show: (row) => percent(row[3], 1) },
    { name: "% of all errors", number: true, value: (row) => row[4], show: (row) => percent(row[4], 1), bar: (row) => row[4] / run.confusions[0][4] },
  ];
  byId("confusion-table").replaceChildren(run.confusions.length ? sortable(columns, run.confusions) : make("p", "No pixel is wrong."));
  byId("matrix").replaceChildren(...(run.matrix ? [matrix(run.matrix)] : []));
}

/** All classes against all: rows are the ground truth, and add up to 100. */
function matrix(shares) {
  const table = make("table", "", { class: "matrix" });
  const caption = table.createCaption();
  caption.textContent = "Pixels of each class (rows, ground truth) by what they were predicted as (columns), in percent";
  const head = table.createTHead().insertRow();
  head.append(make("td"));
  for (const name of DATA.classes) head.appendChild(make("th", "", { scope: "col", title: name })).append(make("span", name));
  const body = table.createTBody();
  shares.forEach((row, target) => {
    const line = body.insertRow();
    line.append(make("th", DATA.classes[target], { scope: "row", title: DATA.classes[target] }));
    row.forEach((share, prediction) => {
      const cell = line.insertCell();
      if (share >= 0.005) cell.textContent = String(Math.round(100 * share));
      const colour = target === prediction ? "var(--right)" : "var(--wrong)";
      // The square root makes the few percent visible that most confusions are.
      const strength = Math.round(70 * Math.sqrt(share));
      if (share > 0) cell.style.background = `color-mix(in srgb, ${colour} ${strength}%, transparent)`;
      cell.title = `${DATA.classes[target]} as ${DATA.classes[prediction]}: ${percent(share)} %`;
    });
  });
  return table;
}

fill(byId("histogram-metric"), DATA.metrics.map((name, index) => [index, name]), 0);
byId("histogram-metric").addEventListener("change", drawHistograms);
byId("confusion-run").addEventListener("change", drawConfusions);
drawHistograms();
drawConfusions();
