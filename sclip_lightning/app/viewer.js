// Draws what viewer.py made: the image under its labels, names where the pointer is, shares, one class as a heat map.
// Gradio gives `element`, `props`, `trigger` and `watch`. Names are set as text, never as HTML.
const make = (tag, name, text) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
};

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const unpack = async (text) => {
  const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(stream).arrayBuffer();
};

const percent = (share) => {
  const value = 100 * share;
  return value === 0 ? '0 %' : value < 0.1 ? '< 0.1 %' : `${value.toFixed(value < 9.95 ? 1 : 0)} %`;
};

// From black over purple and orange to light yellow, equally lighter at each step.
const STOPS = [[0, 0, 4], [60, 15, 110], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];
const heatColour = (value) => {
  const place = (value / 255) * (STOPS.length - 1), low = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[low].map((one, k) => one + (STOPS[low + 1][k] - one) * (place - low));
};

const state = { picture: null, labels: null, photo: null, heat: null, over: null, opacity: 0.55 };
let drawn = 0;

const loadImage = (address) => new Promise((done, failed) => {
  const image = new Image();
  image.onload = () => done(image);
  image.onerror = failed;
  image.src = address;
});

function paint() {
  const { picture, labels, photo, heat, over, opacity } = state;
  const canvas = element.querySelector('.sclip-canvas');
  if (!canvas || !picture) return;
  const { width, height } = picture, context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(photo, 0, 0, width, height);
  const shown = context.getImageData(0, 0, width, height), pixels = shown.data;
  const colours = [];
  for (const one of picture.classes) colours[one.index] = one.colour;
  for (let i = 0, at = 0; i < labels.length; i++, at += 4) {
    const colour = heat ? heatColour(heat.values[i]) : colours[labels[i]];
    let share = heat ? Math.max(opacity, 0.4) : opacity;
    if (!heat && over !== null) share = labels[i] === over ? Math.min(opacity + 0.3, 1) : opacity * 0.25;
    for (let k = 0; k < 3; k++) pixels[at + k] += (colour[k] - pixels[at + k]) * share;
    if (!heat) {
      const right = (i + 1) % width ? labels[i + 1] : labels[i], below = i + width < labels.length ? labels[i + width] : labels[i];
      if (labels[i] !== right || labels[i] !== below) for (let k = 0; k < 3; k++) pixels[at + k] += (255 - pixels[at + k]) * 0.6 * opacity;
    }
  }
  context.putImageData(shown, 0, 0);
  element.querySelector('.sclip-scale').style.display = heat ? 'flex' : 'none';
  for (const row of element.querySelectorAll('.sclip-row')) {
    row.classList.toggle('sclip-over', Number(row.dataset.index) === over);
    row.setAttribute('aria-pressed', String(Boolean(heat) && Number(row.dataset.index) === heat.index));
  }
}

function highlight(index) {
  if (state.over === index) return;
  state.over = index;
  requestAnimationFrame(paint);
}

function point(event) {
  const canvas = element.querySelector('.sclip-canvas'), name = element.querySelector('.sclip-name');
  const box = canvas.getBoundingClientRect(), { width, height } = state.picture;
  const zoom = Math.min(box.width / width, box.height / height); // object-fit: contain, at the left and top
  const x = Math.floor((event.clientX - box.left) / zoom), y = Math.floor((event.clientY - box.top) / zoom);
  if (x < 0 || y < 0 || x >= width || y >= height) return leave();
  const at = y * width + x, index = state.labels[at];
  const found = state.picture.classes.find((one) => one.index === (state.heat ? state.heat.index : index));
  const swatch = make('i');
  swatch.style.background = `rgb(${found.colour})`;
  name.replaceChildren(swatch, state.heat ? `${found.name}: ${Math.round(state.heat.values[at] / 2.55)} %` : found.name);
  name.style.display = 'block';
  const left = event.clientX - box.left, right = left + 16 + name.offsetWidth > box.width;
  name.style.transform = `translate(${right ? left - name.offsetWidth - 12 : left + 14}px, ${Math.max(event.clientY - box.top - 38, 4)}px)`;
  highlight(state.heat ? null : index);
}

function leave() {
  const name = element.querySelector('.sclip-name');
  if (name) name.style.display = 'none';
  highlight(null);
}

function pick(index) {
  const same = state.heat && state.heat.index === index;
  state.heat = null;
  if (same) return paint();
  trigger('pick', { index });
}

function build() {
  const root = element.querySelector('.sclip-viewer'), { picture } = state;
  if (!picture) {
    root.replaceChildren(make('div', 'sclip-empty', 'Drop an image on the left or choose an example; its labels appear here.'));
    return;
  }
  const stage = make('div', 'sclip-stage'), frame = make('div', 'sclip-frame'), canvas = make('canvas', 'sclip-canvas');
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.addEventListener('pointermove', point);
  canvas.addEventListener('pointerdown', point);
  canvas.addEventListener('pointerleave', leave);
  frame.append(canvas, make('div', 'sclip-name'));

  const tools = make('div', 'sclip-tools'), strength = make('label', '', 'Colours'), range = make('input');
  Object.assign(range, { type: 'range', min: 0, max: 100, value: 100 * state.opacity });
  range.addEventListener('input', () => { state.opacity = range.value / 100; requestAnimationFrame(paint); });
  strength.append(range);
  const scale = make('div', 'sclip-scale'), bar = make('canvas');
  bar.width = 256;
  bar.height = 1;
  for (let value = 0; value < 256; value++) {
    bar.getContext('2d').fillStyle = `rgb(${heatColour(value).map(Math.round)})`;
    bar.getContext('2d').fillRect(value, 0, 1, 1);
  }
  scale.append('0 %', bar, '100 %');
  tools.append(strength, scale, make('span', 'sclip-how', `${picture.size[0]} × ${picture.size[1]} pixels. ${picture.how}`));
  stage.append(frame, tools, ...picture.notes.map((note) => make('div', 'sclip-note', note)));

  const legend = make('div', 'sclip-legend'), rows = make('div', 'sclip-rows');
  legend.append(make('h4', '', 'Share of the image'), make('p', '', 'Click a class to see its probability.'), rows);
  const largest = Math.max(...picture.classes.map((one) => one.share));
  for (const one of picture.classes) {
    const row = make('button', 'sclip-row'), swatch = make('i'), track = make('u'), filled = make('s');
    row.type = 'button';
    row.dataset.index = one.index;
    row.title = one.words.join(', ');
    row.classList.toggle('sclip-none', one.share === 0);
    swatch.style.background = filled.style.background = `rgb(${one.colour})`;
    filled.style.width = `${(100 * one.share) / largest}%`;
    track.append(filled);
    row.append(swatch, make('span', '', one.name), make('b', '', percent(one.share)), track);
    row.addEventListener('click', () => pick(one.index));
    row.addEventListener('pointerenter', () => !state.heat && highlight(one.index));
    row.addEventListener('pointerleave', () => highlight(null));
    rows.append(row);
  }
  root.replaceChildren(stage, legend);
}

async function show() {
  const turn = ++drawn, picture = props.value;
  if (!picture || !picture.labels) {
    Object.assign(state, { picture: null, heat: null });
    return build();
  }
  const [labels, photo] = await Promise.all([unpack(picture.labels), loadImage(picture.image)]);
  if (turn !== drawn) return; // a newer picture came meanwhile
  Object.assign(state, { picture, labels: new Uint16Array(labels), photo, heat: null, over: null });
  build();
  paint();
}

async function showHeat() {
  const heat = props.heat, turn = drawn;
  if (!heat?.values || !state.picture) return;
  const values = new Uint8Array(await unpack(heat.values));
  if (turn !== drawn || values.length !== state.labels.length) return;
  Object.assign(state, { heat: { index: heat.index, values }, over: null });
  paint();
}

watch('value', show);
watch('heat', showHeat);
show();
