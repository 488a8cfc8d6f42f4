// Data of the page, small helpers, and tables that sort.
const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

/** An element with text; texts are set as texts, so that no name becomes markup. */
function make(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  if (text !== "") element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const percent = (value, digits = 2) => (value == null ? "–" : (100 * value).toFixed(digits));
const points = (value) => (value == null ? "–" : (value < 0 ? "−" : "+") + Math.abs(100 * value).toFixed(2));
const rgb = (index) => `rgb(${DATA.colours[index].join(" ")})`;

function fill(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => make("option", text, { value })));
  if (chosen !== undefined) select.value = chosen;
}

function className(index) {
  const cell = make("span", "", { class: "class" });
  const swatch = make("span", "", { class: "swatch" });
  swatch.style.background = rgb(index);
  cell.append(swatch, DATA.classes[index]);
  return cell;
}

/**
 * A table whose headings sort it: first as is more useful (numbers the largest first), then the other way round.
 * columns: {name, value(row) to sort by, show(row) a text or an element, number: whether right-aligned, bar(row): share}
 */
function sortable(columns, rows, start = null) {
  const box = make("div", "", { class: "sortable" });
  const table = box.appendChild(make("table"));
  const head = table.createTHead().insertRow();
  const body = table.createTBody();
  let order = start;
  function draw() {
    const sorted = [...rows];
    if (order) {
      const { value } = columns[order.column];
      const sign = order.descending ? -1 : 1;
      sorted.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x == null || y == null) return (x == null) - (y == null); // what has no value comes last either way
        return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
      });
    }
    columns.forEach((_, place) => {
      const sort = order?.column !== place ? "none" : order.descending ? "descending" : "ascending";
      head.cells[place].setAttribute("aria-sort", sort);
    });
    body.replaceChildren(
      ...sorted.map((row) => {
        const line = make("tr");
        for (const column of columns) {
          const cell = line.appendChild(make("td", "", column.number ? { class: "number" } : {}));
          const share = column.bar?.(row);
          if (share != null) {
            cell.classList.add("bar");
            cell.style.setProperty("--share", `${100 * share}%`);
          }
          cell.append(column.show(row));
        }
        return line;
      }),
    );
  }
  columns.forEach((column, place) => {
    const cell = head.appendChild(make("th", "", { scope: "col", ...(column.number ? { class: "number" } : {}) }));
    const button = cell.appendChild(make("button", column.name, { type: "button" }));
    button.addEventListener("click", () => {
      order = order?.column === place ? { column: place, descending: !order.descending } : { column: place, descending: Boolean(column.number) };
      draw();
    });
  });
  draw();
  return box;
}

const linked = (row) => {
  const button = make("button", "", { class: "link", type: "button" });
  button.append(className(row.index));
  button.addEventListener("click", () => window.dispatchEvent(new CustomEvent("show-class", { detail: row.index })));
  return button;
};

/** The IoU of all runs, and how far they lie apart. */
function columnsOfAll() {
  const of = (run, row) => run.rows[row.index].IoU;
  const spread = (row) => {
    const values = DATA.runs.map((run) => of(run, row)).filter((value) => value != null);
    return values.length > 1 ? Math.max(...values) - Math.min(...values) : null;
  };
  return [
    ...DATA.runs.map((run) => ({
      name: run.name, number: true, value: (row) => of(run, row), show: (row) => percent(of(run, row)), bar: (row) => of(run, row),
    })),
    { name: "apart", number: true, value: spread, show: (row) => percent(spread(row)) },
  ];
}

/** All scores of one run, and how its IoU differs from the first run's. */
function columnsOf(run) {
  const [first] = DATA.runs;
  const columns = [];
  for (const name of Object.keys(run.rows[0]).filter((one) => one !== "index")) {
    const bar = name === "IoU" ? (row) => row.IoU : undefined;
    columns.push({ name, number: true, value: (row) => row[name], show: (row) => percent(row[name]), bar });
    if (name === "IoU" && run !== first) {
      const change = (row) => (row.IoU == null || first.rows[row.index].IoU == null ? null : row.IoU - first.rows[row.index].IoU);
      columns.push({ name: `IoU − ${first.name}`, number: true, value: change, show: (row) => points(change(row)) });
    }
  }
  return columns;
}

function drawClasses() {
  const all = byId("class-run").value === "all";
  const run = DATA.runs[all ? 0 : Number(byId("class-run").value)];
  const word = byId("class-find").value.trim().toLowerCase();
  const rows = run.rows.filter((row) => DATA.classes[row.index].toLowerCase().includes(word));
  const columns = [
    { name: "class", value: (row) => DATA.classes[row.index], show: linked },
    ...(all ? columnsOfAll() : columnsOf(run)),
    { name: "pixels", number: true, value: (row) => run.pixels[row.index], show: (row) => run.pixels[row.index].toLocaleString("en") },
    { name: "in images", number: true, value: (row) => run.inImages[row.index], show: (row) => String(run.inImages[row.index]) },
  ];
  byId("class-table").replaceChildren(sortable(columns, rows));
}

const RUNS = DATA.runs.map((run, index) => [index, run.name]);
for (const name of ["class", "confusion"]) {
  const all = name === "class" && RUNS.length > 1;
  fill(byId(`${name}-run`), all ? [["all", "all, their IoU"], ...RUNS] : RUNS, all ? "all" : DATA.best);
  if (RUNS.length === 1) byId(`${name}-run-box`).style.display = "none";
}
byId("class-run").addEventListener("change", drawClasses);
byId("class-find").addEventListener("input", drawClasses);
drawClasses();
