// The gallery: cards are made as they are scrolled to, and their pictures are let go when they are far away.
const CARDS_AT_A_TIME = 24;
const LAYERS = layers();
const BEST = DATA.best;

function drawGallery() {
  const choice = { list: [], made: 0 };
  const cards = byId("cards");
  const value = (id) => byId(id).value;
  const only = () => (byId("only-class").checked && value("gallery-class") !== "" ? Number(value("gallery-class")) : null);
  const visible = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) isIntersecting ? target.enter() : target.leave();
  }, { rootMargin: "300px" });
  const end = new IntersectionObserver((changes) => changes.some((change) => change.isIntersecting) && addCards(), { rootMargin: "800px" });

  const has = (place, index) => DATA.runs.some((run) => run.images[place]?.c.includes(index));
  const iou = (run, place, index) => {
    const image = run.images[place];
    return image ? image.i[image.c.indexOf(index)] ?? null : null;
  };

  /** The number to order by, of an image; null puts it last. */
  function ordering() {
    const [kind, run, metric] = value("gallery-order").split("/");
    const chosen = value("gallery-class");
    const of = DATA.runs[Number(run)];
    if (kind === "data") return null;
    if (kind === "class") return (place) => (chosen === "" ? of.images[place]?.s[0] : iou(of, place, Number(chosen)));
    if (kind === "change") {
      return (place) => {
        const [before, after] = [DATA.runs[0].images[place]?.s[0], of.images[place]?.s[0]];
        return before == null || after == null ? null : -Math.abs(after - before);
      };
    }
    return (place) => {
      const score = of.images[place]?.s[Number(metric)];
      return score == null ? null : kind === "best" ? -score : score;
    };
  }

  function choose() {
    const [kind, index] = [value("gallery-kind"), value("gallery-class")];
    choice.list = DATA.shown
      .map(([place, kinds], number) => ({ place, kinds, number }))
      .filter(({ place, kinds }) => (kind === "" || kinds.includes(kind)) && (index === "" || has(place, Number(index))));
    const key = ordering();
    if (key) {
      const keys = new Map(choice.list.map((one) => [one, key(one.place)]));
      choice.list.sort((a, b) => (keys.get(a) ?? Infinity) - (keys.get(b) ?? Infinity) || a.number - b.number);
    }
    visible.disconnect();
    cards.replaceChildren();
    choice.made = 0;
    byId("gallery-count").textContent = choice.list.length === 1 ? "1 image" : `${choice.list.length} images`;
    legend();
    addCards();
    // An observer tells of changes only: ask again whether the end is still in sight.
    end.unobserve(byId("more"));
    end.observe(byId("more"));
  }

  function addCards() {
    for (const one of choice.list.slice(choice.made, choice.made + CARDS_AT_A_TIME)) {
      const made = card(one);
      cards.append(made);
      visible.observe(made);
    }
    choice.made = Math.min(choice.made + CARDS_AT_A_TIME, choice.list.length);
  }

  function legend() {
    const entries = [value("layer-left"), value("layer-right")].flatMap(meaning);
    const known = new Map(entries.map(([colour, text]) => [text, colour]));
    byId("legend").replaceChildren(
      ...[...known].map(([text, colour]) => {
        const item = make("span");
        item.appendChild(make("span", "", { class: "swatch" })).style.background = `rgb(${colour.join(" ")})`;
        item.append(text);
        return item;
      }),
      make("span", "The pointer over a picture names the classes there; a click on its name shows all layers."),
    );
  }

  function scores(place) {
    const [left, right] = [value("layer-left"), value("layer-right")].map((layer) => layer.split("-")[1]);
    const runs = [...new Set([left, right].filter((run) => run !== undefined).map(Number))].sort();
    const shown = runs.length ? runs : [BEST];
    return shown.map((run) => percent(DATA.runs[run].images[place]?.s[0], 1)).join(" → ");
  }

  function card({ place, number, kinds }) {
    const figure = make("figure");
    const stage = figure.appendChild(make("div", "", { class: "stage" }));
    const slider = figure.appendChild(make("input", "", { type: "range", min: 0, max: 100, value: 50, "aria-label": `boundary of left and right layer of ${DATA.ids[place]}` }));
    const title = figure.appendChild(make("div", "", { class: "title" }));
    const open = title.appendChild(make("button", DATA.ids[place], { type: "button", title: DATA.ids[place] }));
    const score = title.appendChild(make("span"));
    figure.append(make("small", kinds.filter((kind) => kind !== "all").map((kind) => kind).join(", ")));
    open.addEventListener("click", () => showLarge(number, place));
    let picture = null;
    let inside = false;
    let sides = [];
    const canvas = make("canvas");
    const names = make("span", "", { class: "names", hidden: "" });

    function compose() {
      const context = canvas.getContext("2d");
      const middle = Math.round((canvas.width * slider.value) / 100);
      context.clearRect(0, 0, canvas.width, canvas.height);
      const [left, right] = sides;
      if (right) context.drawImage(right, 0, 0);
      if (left && middle) context.drawImage(left, 0, 0, middle, canvas.height, 0, 0, middle, canvas.height);
      context.fillStyle = "#fff";
      context.fillRect(middle - 1, 0, 2, canvas.height);
    }
    figure.refresh = () => {
      score.textContent = `mIoU ${scores(place)}`;
      if (!picture) return;
      sides = [value("layer-left"), value("layer-right")].map((layer) => paint(picture, layer, byId("opacity").value / 100, only()));
      compose();
    };
    figure.enter = async () => {
      inside = true;
      if (picture) return;
      const found = entry(number);
      if (found === null) {
        document.addEventListener("DOMContentLoaded", () => inside && figure.enter(), { once: true });
        return;
      }
      if (found.why) {
        slider.hidden = true;
        stage.replaceChildren(make("p", found.why));
        return;
      }
      [canvas.width, canvas.height] = [found.w, found.h];
      stage.style.aspectRatio = `${found.w} / ${found.h}`; // keeps its room when the picture is let go
      try {
        picture = await unpack(found);
      } catch {
        stage.replaceChildren(make("p", `${found.src.slice(0, 60)} cannot be shown. Keep the folder of thumbnails beside this page.`));
        return;
      }
      if (!inside) {
        picture = null;
        return;
      }
      stage.replaceChildren(canvas, names);
      figure.refresh();
      figure.dataset.drawn = "";
    };
    figure.leave = () => {
      inside = false;
      [picture, sides] = [null, []];
      delete figure.dataset.drawn;
      [canvas.width, canvas.height] = [0, 0];
    };
    slider.addEventListener("input", compose);
    stage.addEventListener("pointermove", (event) => {
      if (event.buttons) {
        const box = stage.getBoundingClientRect();
        slider.value = (100 * (event.clientX - box.left)) / box.width;
        compose();
      }
      name(event, stage, picture, names);
    });
    stage.addEventListener("pointerleave", () => (names.hidden = true));
    figure.refresh();
    return figure;
  }

  for (const id of ["gallery-kind", "gallery-class", "gallery-order"]) byId(id).addEventListener("change", choose);
  for (const id of ["layer-left", "layer-right", "opacity", "only-class"]) {
    byId(id).addEventListener("input", () => {
      legend();
      for (const figure of cards.children) figure.refresh();
    });
  }
  byId("gallery-class").addEventListener("change", () => (byId("only-class").disabled = value("gallery-class") === ""));
  window.addEventListener("show-class", ({ detail }) => {
    fill(byId("gallery-class"), classEntries, detail);
    byId("only-class").disabled = false;
    choose();
    byId("gallery").scrollIntoView();
  });

  const kinds = Object.entries(DATA.kinds).map(([kind, text]) => [kind, `${kind}: ${text}`]);
  const classEntries = [["", "any"], ...DATA.classes.map((name, index) => [index, name])];
  const orders = [["data", "as in the data set"]];
  DATA.runs.forEach((run, index) => {
    const of = DATA.runs.length > 1 ? ` of ${run.name}` : "";
    orders.push([`class/${index}`, `lowest IoU of the chosen class${of}`]);
    DATA.metrics.forEach((metric, place) => orders.push([`worst/${index}/${place}`, `lowest ${metric}${of}`], [`best/${index}/${place}`, `highest ${metric}${of}`]));
    if (index) orders.push([`change/${index}`, `largest change of mIoU, ${DATA.runs[0].name} → ${run.name}`]);
  });
  fill(byId("gallery-kind"), kinds.length > 1 ? [["", "all"], ...kinds] : [["", kinds[0]?.[1] ?? "all"]]);
  fill(byId("gallery-class"), classEntries);
  fill(byId("gallery-order"), orders, `worst/${BEST}/0`);
  fill(byId("layer-left"), LAYERS, BEST ? "prediction-0" : "truth");
  fill(byId("layer-right"), LAYERS, `prediction-${BEST}`);
  byId("only-class").disabled = true;
  choose();
}

/** Says which classes lie under the pointer. */
function name(event, stage, picture, names) {
  if (!picture) return;
  const box = stage.getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * picture.width);
  const y = Math.floor(((event.clientY - box.top) / box.height) * picture.height);
  if (x < 0 || y < 0 || x >= picture.width || y >= picture.height) return;
  const at = (map) => (map[y * picture.width + x] === NOT_SCORED ? "not scored" : DATA.classes[map[y * picture.width + x]]);
  const found = picture.predictions.flatMap((map, run) => (map ? [`${DATA.runs.length > 1 ? DATA.runs[run].name : "prediction"}: ${at(map)}`] : []));
  names.textContent = [`truth: ${at(picture.truth)}`, ...found].join(" · ");
  names.hidden = false;
}

/** All layers of an image beside each other. */
async function showLarge(number, place) {
  const found = entry(number);
  if (!found || found.why) return;
  const picture = await unpack(found);
  const dialog = byId("large");
  dialog.querySelector("h2").textContent = DATA.ids[place];
  dialog.querySelector(".panels").replaceChildren(
    ...LAYERS.flatMap(([layer, text]) => {
      const canvas = paint(picture, layer, layer.startsWith("image") ? 1 : byId("opacity").value / 100, null);
      if (!canvas) return [];
      const figure = make("figure");
      const stage = figure.appendChild(make("div", "", { class: "stage" }));
      const names = make("span", "", { class: "names", hidden: "" });
      stage.append(canvas, names);
      stage.addEventListener("pointermove", (event) => name(event, stage, picture, names));
      stage.addEventListener("pointerleave", () => (names.hidden = true));
      const run = layer.startsWith("prediction") ? DATA.runs[Number(layer.split("-")[1])].images[place] : null;
      const legend = meaning(layer).map(([colour, means]) => {
        const item = make("small");
        item.appendChild(make("span", "", { class: "swatch" })).style.background = `rgb(${colour.join(" ")})`;
        item.append(means);
        return item;
      });
      figure.append(make("figcaption", run ? `${text}, mIoU ${percent(run.s[0])} %` : text), ...legend);
      return [figure];
    }),
  );
  dialog.showModal();
}

if (byId("cards")) drawGallery();
