// Pictures of the gallery: label maps are unpacked and coloured here, once they are looked at.
const NOT_SCORED = DATA.classes.length <= 255 ? 255 : 65535;
const [RIGHT, WRONG, BOTH_WRONG, VOID] = [[0, 114, 178], [213, 94, 0], [150, 150, 150], [224, 224, 224]];
const BLOCKS = new Map();

/** What stands in the page for the n-th image shown; null while the page is still being read. */
function entry(number) {
  const block = Math.floor(number / DATA.block);
  if (!BLOCKS.has(block)) {
    const element = byId(`block-${block}`);
    if (!element || (document.readyState === "loading" && !element.nextSibling)) return null;
    BLOCKS.set(block, JSON.parse(element.textContent));
  }
  return BLOCKS.get(block)[number % DATA.block];
}

async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

async function loaded(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  return image;
}

/** A picture with its maps: {image, width, height, truth, predictions: one for each run, or null}. */
async function unpack(found) {
  const [image, buffer] = await Promise.all([loaded(found.src), inflate(found.maps)]);
  const all = NOT_SCORED === 255 ? new Uint8Array(buffer) : new Uint16Array(buffer);
  const size = found.w * found.h;
  let place = 0;
  const next = () => all.subarray(place, (place += size));
  const truth = next();
  return { image, width: found.w, height: found.h, truth, predictions: found.has.map((has) => (has ? next() : null)) };
}

/** Layers by their value in the selects: a text, and for each pixel its colour, or null for the image as it is. */
function layers() {
  const list = [["image", "image"], ["truth", "ground truth"]];
  DATA.runs.forEach((run, index) => {
    const of = DATA.runs.length > 1 ? `: ${run.name}` : "";
    list.push([`prediction-${index}`, `prediction${of}`], [`errors-${index}`, `errors${of}`]);
  });
  DATA.runs.slice(1).forEach((run, index) => list.push([`change-${index + 1}`, `${DATA.runs[0].name} → ${run.name}`]));
  return list;
}

function painter(picture, layer, only) {
  const [kind, number] = layer.split("-");
  const { truth, predictions } = picture;
  const labels = kind === "truth" ? truth : predictions[Number(number)];
  if (kind === "image") return () => null;
  if (!labels || (kind === "change" && !predictions[0])) return null;
  if (kind === "truth" || kind === "prediction") {
    return (pixel) => {
      const label = labels[pixel];
      if (only !== null && label !== only) return null;
      return label === NOT_SCORED ? VOID : DATA.colours[label];
    };
  }
  const concerns = (pixel, ...maps) => only === null || truth[pixel] === only || maps.some((map) => map[pixel] === only);
  if (kind === "errors") {
    return (pixel) => {
      if (!concerns(pixel, labels)) return null;
      return truth[pixel] === NOT_SCORED ? VOID : labels[pixel] === truth[pixel] ? RIGHT : WRONG;
    };
  }
  const before = predictions[0];
  return (pixel) => {
    if (before[pixel] === labels[pixel] || !concerns(pixel, before, labels)) return null;
    if (truth[pixel] === NOT_SCORED) return VOID;
    return labels[pixel] === truth[pixel] ? RIGHT : before[pixel] === truth[pixel] ? WRONG : BOTH_WRONG;
  };
}

/** A layer as a canvas of its own; null where the run has no map of this image. */
function paint(picture, layer, opacity, only) {
  const paintOf = painter(picture, layer, only);
  if (!paintOf) return null;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const context = canvas.getContext("2d");
  context.drawImage(picture.image, 0, 0, picture.width, picture.height);
  if (layer === "image") return canvas;
  if (layer.startsWith("errors") || layer.startsWith("change")) {
    context.globalCompositeOperation = "saturation"; // grey, so that only what is right or wrong has a colour
    context.fillStyle = "#808080";
    context.fillRect(0, 0, picture.width, picture.height);
    context.globalCompositeOperation = "source-over";
  }
  const over = context.createImageData(picture.width, picture.height);
  for (let pixel = 0; pixel < picture.truth.length; pixel += 1) {
    const colour = paintOf(pixel);
    if (colour) over.data.set([colour[0], colour[1], colour[2], 255], 4 * pixel);
  }
  outline(over, picture, layer);
  const coloured = document.createElement("canvas");
  [coloured.width, coloured.height] = [picture.width, picture.height];
  coloured.getContext("2d").putImageData(over, 0, 0);
  context.globalAlpha = opacity;
  context.drawImage(coloured, 0, 0);
  return canvas;
}

/** White lines where a label ends, so that neighbours of like colours are told apart. */
function outline(over, picture, layer) {
  const [kind, number] = layer.split("-");
  const labels = kind === "truth" ? picture.truth : kind === "prediction" ? picture.predictions[Number(number)] : null;
  if (!labels) return;
  for (let pixel = 0; pixel + picture.width < labels.length; pixel += 1) {
    const inside = (pixel + 1) % picture.width;
    const ends = (inside && labels[pixel] !== labels[pixel + 1]) || labels[pixel] !== labels[pixel + picture.width];
    if (ends && over.data[4 * pixel + 3]) over.data.set([255, 255, 255], 4 * pixel);
  }
}

/** What a layer's colours mean, or nothing where they are those of classes. */
function meaning(layer) {
  const [kind, number] = layer.split("-");
  if (kind === "errors") return [[RIGHT, "right"], [WRONG, "wrong"], [VOID, "not scored"]];
  if (kind !== "change") return [];
  const [before, after] = [DATA.runs[0].name, DATA.runs[Number(number)].name];
  return [[RIGHT, `right in ${after} only`], [WRONG, `right in ${before} only`], [BOTH_WRONG, "wrong in both, differently"]];
}
