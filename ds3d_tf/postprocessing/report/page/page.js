"use strict";
const data = JSON.parse(document.getElementById("data").textContent);

function fitted(canvas, share) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.max(canvas.clientWidth, 300);
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(width * share * scale);
  return scale;
}

function roundLength(length) {
  const power = Math.pow(10, Math.floor(Math.log10(length)));
  return [5, 2, 1].map((step) => step * power).find((value) => value <= length * 1.000001) || power;
}

function lengthText(nm) { return nm >= 1000 ? +(nm / 1000).toPrecision(3) + " µm" : +nm.toPrecision(3) + " nm"; }

function drawScaleBar(context, scale, nmPerPixel) {
  const { width, height } = context.canvas;
  const nm = roundLength((width / 5) * nmPerPixel), length = nm / nmPerPixel, edge = 16 * scale;
  context.fillStyle = "#fff";
  context.fillRect(edge, height - edge - 4 * scale, length, 4 * scale);
  context.font = 13 * scale + "px system-ui, sans-serif";
  context.textBaseline = "bottom";
  context.fillText(lengthText(nm), edge, height - edge - 8 * scale);
}

function drawDepthBar(context, scale) {
  if (!data.depth) return;
  const { width } = context.canvas;
  const tall = 180 * scale, wide = 12 * scale, left = width - 70 * scale, top = 24 * scale;
  data.depth.colours.forEach((colour, index, all) => {
    context.fillStyle = "rgb(" + colour + ")";
    const y = top + tall * (1 - (index + 1) / all.length);
    context.fillRect(left, y, wide, tall / all.length + 1);
  });
  context.fillStyle = "#fff";
  context.font = 12 * scale + "px system-ui, sans-serif";
  context.textBaseline = "middle";
  const [low, high] = data.depth.limits;
  for (const z of data.depth.ticks) {
    context.fillText(z, left + wide + 5 * scale, top + tall * (1 - (z - low) / (high - low)));
  }
  context.fillText("z (nm)", left, top - 12 * scale);
}

function lit(context) {
  const { width, height } = context.canvas;
  const pixels = context.getImageData(0, 0, width, height).data;
  let count = 0;
  for (let k = 0; k < pixels.length; k += 4) if (pixels[k] + pixels[k + 1] + pixels[k + 2] > 30) count++;
  return count;
}

// The picture: drag to move, wheel to zoom, double click to see all of it.
function picture() {
  const canvas = document.getElementById("picture");
  if (!canvas) return;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const images = {};
  for (const view of Object.keys(data.views)) images[view] = document.getElementById("view-" + view);
  let view = "xy", scale = 1, zoom = 1, left = 0, top = 0;
  function whole() {
    const image = images[view];
    scale = fitted(canvas, Math.min(0.72, Math.max(0.3, image.naturalHeight / image.naturalWidth)));
    zoom = Math.min(canvas.width / image.naturalWidth, canvas.height / image.naturalHeight);
    left = (canvas.width - image.naturalWidth * zoom) / 2;
    top = (canvas.height - image.naturalHeight * zoom) / 2;
    draw();
  }
  function draw() {
    const image = images[view];
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = zoom < 2;
    context.drawImage(image, left, top, image.naturalWidth * zoom, image.naturalHeight * zoom);
    drawScaleBar(context, scale, data.views[view].pixel_nm / zoom);
    drawDepthBar(context, scale);
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    const factor = Math.exp(-event.deltaY * 0.0015), next = Math.min(Math.max(zoom * factor, 0.1), 60);
    left = x - ((x - left) * next) / zoom;
    top = y - ((y - top) * next) / zoom;
    zoom = next;
    draw();
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    left += event.movementX * scale;
    top += event.movementY * scale;
    draw();
  });
  canvas.addEventListener("dblclick", whole);
  document.querySelectorAll("[data-view]").forEach((button) => button.addEventListener("click", () => {
    view = button.dataset.view;
    document.querySelectorAll("[data-view]").forEach((one) => one.setAttribute("aria-pressed", one === button));
    whole();
  }));
  window.addEventListener("resize", whole);
  whole();
  document.body.dataset.picture = lit(context);
}

// The scatter: a sample of the molecules, turned by dragging; near ones are drawn last.
function scatter() {
  const canvas = document.getElementById("scatter");
  if (!canvas) return;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const bytes = Uint8Array.from(atob(data.sample.points), (letter) => letter.charCodeAt(0));
  const steps = new Uint16Array(bytes.buffer), count = steps.length / 3;
  const low = data.sample.low_nm, size = data.sample.size_nm;
  const colours = data.depth.colours.map((colour) => "rgb(" + colour + ")"), limits = data.depth.limits;
  const points = new Float32Array(3 * count), hue = new Uint8Array(count);
  for (let k = 0; k < count; k++) {
    for (let axis = 0; axis < 3; axis++) points[3 * k + axis] = (steps[3 * k + axis] / 65535 - 0.5) * size[axis];
    const share = (low[2] + (steps[3 * k + 2] / 65535) * size[2] - limits[0]) / (limits[1] - limits[0]);
    hue[k] = Math.min(colours.length - 1, Math.max(0, Math.floor(share * colours.length)));
  }
  const start = { turn: 0.5, tilt: 1.0, zoom: 1 };
  // What the box covers as seen at the start: it then fills the canvas, and keeps its size while it turns.
  const wide = size[0] * Math.cos(start.turn) + size[1] * Math.sin(start.turn);
  const high = (size[0] * Math.sin(start.turn) + size[1] * Math.cos(start.turn)) * Math.cos(start.tilt)
    + size[2] * Math.sin(start.tilt);
  let { turn, tilt, zoom } = start, scale = 1;
  const order = Array.from({ length: count }, (_, k) => k), far = new Float32Array(count);
  function draw() {
    scale = fitted(canvas, 0.6);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const [ct, st, ci, si] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
    const unit = 0.86 * zoom * Math.min(canvas.width / wide, canvas.height / high);
    const across = new Float32Array(count), down = new Float32Array(count);
    for (let k = 0; k < count; k++) {
      const x = points[3 * k], y = points[3 * k + 1], z = points[3 * k + 2];
      const aside = x * ct - y * st, deep = x * st + y * ct;
      across[k] = canvas.width / 2 + unit * aside;
      down[k] = canvas.height / 2 + unit * (deep * ci - z * si);
      far[k] = deep * si + z * ci;
    }
    order.sort((a, b) => far[a] - far[b]);
    const dot = Math.max(1, 1.3 * scale * Math.sqrt(zoom) * Math.min(3, Math.max(1, Math.sqrt(8000 / count))));
    context.globalAlpha = 0.75;
    for (const k of order) {
      context.fillStyle = colours[hue[k]];
      context.fillRect(across[k] - dot / 2, down[k] - dot / 2, dot, dot);
    }
    context.globalAlpha = 1;
    box(unit, ct, st, ci, si);
    drawScaleBar(context, scale, 1 / unit);
    drawDepthBar(context, scale);
  }
  function box(unit, ct, st, ci, si) {
    const corner = (sx, sy, sz) => {
      const x = (sx * size[0]) / 2, y = (sy * size[1]) / 2, z = (sz * size[2]) / 2;
      const aside = x * ct - y * st, deep = x * st + y * ct;
      return [canvas.width / 2 + unit * aside, canvas.height / 2 + unit * (deep * ci - z * si)];
    };
    context.strokeStyle = "rgba(255,255,255,.25)";
    context.beginPath();
    for (const a of [-1, 1]) for (const b of [-1, 1]) {
      for (const [from, to] of [[[-1, a, b], [1, a, b]], [[a, -1, b], [a, 1, b]], [[a, b, -1], [a, b, 1]]]) {
        context.moveTo(...corner(...from));
        context.lineTo(...corner(...to));
      }
    }
    context.stroke();
    context.fillStyle = "#b0b0b0";
    context.font = 13 * scale + "px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    [[0, 1, -1], [1, 0, -1], [-1, 1, 0]].forEach((middle, axis) => {
      const [left, top] = corner(...middle.map((side) => 1.12 * side));
      const text = "xyz"[axis] + " " + lengthText(size[axis]), half = context.measureText(text).width / 2 + 6 * scale;
      context.fillText(text, Math.min(Math.max(left, half), canvas.width - half), top);
    });
    context.textAlign = "left";
  }
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    turn += event.movementX * 0.008;
    tilt = Math.min(Math.PI, Math.max(0, tilt + event.movementY * 0.008));
    draw();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom = Math.min(Math.max(zoom * Math.exp(-event.deltaY * 0.0015), 0.3), 30);
    draw();
  }, { passive: false });
  canvas.addEventListener("dblclick", () => { ({ turn, tilt, zoom } = start); draw(); });
  window.addEventListener("resize", draw);
  draw();
  document.body.dataset.scatter = lit(context);
}

document.querySelectorAll("[data-save]").forEach((button) => button.addEventListener("click", () => {
  const link = document.createElement("a");
  link.download = document.title + " " + button.dataset.save + ".png";
  link.href = document.getElementById(button.dataset.save).toDataURL("image/png");
  link.click();
}));

window.addEventListener("load", () => {
  scatter();
  picture();
  document.body.dataset.ready = "yes";
});
