// The map as a canvas: hover shows a reference, a click opens its card, the list highlights.
"use strict";
(() => {
  const data = window.rimMap;
  const figure = document.getElementById("map");
  if (!data || !figure) return;
  const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer;
  const xs = new Uint16Array(bytes(data.x));
  const ys = new Uint16Array(bytes(data.y));
  const category = new Uint32Array(bytes(data.category));
  const position = new Uint32Array(bytes(data.position));
  const low = new Uint32Array(bytes(data.low));
  const count = xs.length;
  const radius = count <= 5000 ? 4 : count <= 20000 ? 2.5 : 1.75;
  const REACH = 14; // pixels from the pointer to a point that it still takes
  const SVG = "http://www.w3.org/2000/svg";

  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute(
    "aria-label",
    `Map of ${count} references. Arrow keys step through them, Enter opens one.`,
  );
  figure.querySelector("img").replaceWith(canvas);
  const context = canvas.getContext("2d");
  const help = document.getElementById("map-help");
  help.textContent =
    "Point at a reference to see it, click to open its card; scroll to zoom, drag to move. " +
    "Keys: arrows step through the references, Enter opens, + and - zoom, 0 shows all.";

  // Some colours are hard to see on a dark ground, others on a light one.
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let colours = [];
  function chooseColours() {
    colours = data.categories.map(({ colour }) => {
      const rgb = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
      const bright = (0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2]) / 255;
      const [goal, share] = dark.matches ? [255, 0.45 - bright] : [0, bright - 0.7];
      const mixed = rgb.map((one) => Math.round(one + (goal - one) * Math.max(0, share)));
      return `rgb(${mixed.join(" ")})`;
    });
  }
  chooseColours();
  dark.addEventListener("change", () => {
    chooseColours();
    redraw();
  });

  const highlighted = new Set();
  const view = { scale: 1, x: 0, y: 0 };
  let width = 0;
  let height = 0;
  let current = -1;
  let pending = false;

  // Places in the canvas, in CSS pixels.
  function unit() {
    const margin = 18;
    return Math.min((width - 2 * margin) / data.width, (height - 2 * margin) / data.height);
  }
  const across = (i) =>
    (width / 2 + (xs[i] - data.width / 2) * unit()) * view.scale + view.x;
  const down = (i) =>
    (height / 2 - (ys[i] - data.height / 2) * unit()) * view.scale + view.y;

  function draw() {
    pending = false;
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const one = unit() * view.scale;
    const left = (width / 2 - (data.width / 2) * unit()) * view.scale + view.x;
    const base = (height / 2 + (data.height / 2) * unit()) * view.scale + view.y;
    const size = radius * Math.min(2.5, Math.sqrt(view.scale));
    const some = highlighted.size > 0;
    for (const front of some ? [false, true] : [true]) {
      let last = -1;
      context.globalAlpha = front ? 0.85 : 0.18;
      for (let i = 0; i < count; i += 1) {
        if (some && highlighted.has(category[i]) !== front) continue;
        const x = left + xs[i] * one;
        const y = base - ys[i] * one;
        if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
        if (category[i] !== last) {
          last = category[i];
          context.fillStyle = colours[last];
        }
        if (size > 2.2) {
          context.beginPath();
          context.arc(x, y, size, 0, 7);
          context.fill();
        } else {
          context.fillRect(x - size, y - size, 2 * size, 2 * size);
        }
      }
    }
    context.globalAlpha = 1;
    if (current >= 0) {
      context.beginPath();
      context.arc(across(current), down(current), size + 4, 0, 7);
      context.lineWidth = 2;
      context.strokeStyle = getComputedStyle(canvas).color;
      context.stroke();
    }
  }

  function redraw() {
    if (!pending) {
      pending = true;
      requestAnimationFrame(draw);
    }
  }

  function resize() {
    const box = canvas.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    width = box.width;
    height = box.height;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    draw();
  }

  // The tip: a reference's image, category and id.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  const thumb = document.createElementNS(SVG, "svg");
  thumb.setAttribute("viewBox", `0 0 ${data.side} ${data.side}`);
  const image = document.createElementNS(SVG, "image");
  thumb.append(image);
  const title = document.createElement("b");
  const name = document.createElement("bdi");
  title.append(name);
  const caption = document.createElement("span");
  caption.className = "faint";
  tip.append(thumb, title, caption);
  figure.append(tip);

  const imageId = (i) => (BigInt(data.categories[category[i]].id) << 24n) | BigInt(low[i]);
  const cardOf = (i) => `categories/${data.categories[category[i]].key}.html#i${imageId(i)}`;

  function show(i) {
    current = i;
    tip.hidden = i < 0;
    canvas.style.cursor = i < 0 ? "crosshair" : "pointer";
    redraw();
    if (i < 0) return;
    const own = data.categories[category[i]];
    const perSheet = data.columns * data.rows;
    const sheet = Math.floor(position[i] / perSheet);
    const within = position[i] % perSheet;
    const cells = Math.min(own.images - sheet * perSheet, perSheet);
    const row = Math.floor(within / data.columns);
    image.setAttribute("href", `pictures/${own.key}-${sheet}.webp`);
    image.setAttribute("x", -(within % data.columns) * data.side);
    image.setAttribute("y", -row * data.side);
    image.setAttribute("width", Math.min(cells, data.columns) * data.side);
    image.setAttribute("height", Math.ceil(cells / data.columns) * data.side);
    name.textContent = own.name;
    caption.textContent = `#${low[i] & 0xfffff} · ${imageId(i)}`;
    const x = across(i);
    const y = down(i);
    tip.style.left = `${Math.max(0, x + 170 > width ? x - 162 : x + 14)}px`;
    tip.style.top = `${Math.max(0, Math.min(y + 14, height - tip.offsetHeight))}px`;
  }

  function nearest(x, y) {
    let best = -1;
    let distance = REACH * REACH;
    for (let i = 0; i < count; i += 1) {
      if (highlighted.size > 0 && !highlighted.has(category[i])) continue;
      const dx = across(i) - x;
      const dy = down(i) - y;
      const squared = dx * dx + dy * dy;
      if (squared < distance) {
        distance = squared;
        best = i;
      }
    }
    return best;
  }

  function zoom(factor, x, y) {
    const scale = Math.min(60, Math.max(1, view.scale * factor));
    const real = scale / view.scale;
    view.x = scale === 1 ? 0 : x - (x - view.x) * real;
    view.y = scale === 1 ? 0 : y - (y - view.y) * real;
    view.scale = scale;
    show(-1);
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, y: event.clientY, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    if (!drag) {
      show(nearest(event.clientX - box.left, event.clientY - box.top));
      return;
    }
    const dx = event.clientX - drag.x;
    const dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    view.x += dx;
    view.y += dy;
    drag = { x: event.clientX, y: event.clientY, moved: true };
    show(-1);
  });
  canvas.addEventListener("pointerup", (event) => {
    const moved = drag && drag.moved;
    drag = null;
    if (moved) return;
    const box = canvas.getBoundingClientRect();
    const found = nearest(event.clientX - box.left, event.clientY - box.top);
    // A finger cannot hover: its first tap shows, its second opens.
    if (event.pointerType === "touch" && found !== current) show(found);
    else if (found >= 0) window.location.href = cardOf(found);
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => show(-1));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  function step(by) {
    for (let tried = 1; tried <= count; tried += 1) {
      const start = current < 0 && by > 0 ? -1 : Math.max(current, 0);
      const i = (((start + by * tried) % count) + count) % count;
      if (highlighted.size === 0 || highlighted.has(category[i])) {
        show(i);
        return;
      }
    }
  }
  const keys = {
    ArrowRight: () => step(1), ArrowDown: () => step(1),
    ArrowLeft: () => step(-1), ArrowUp: () => step(-1),
    "+": () => zoom(1.5, width / 2, height / 2), "-": () => zoom(1 / 1.5, width / 2, height / 2),
    0: () => zoom(0, 0, 0), Escape: () => show(-1),
    Enter: () => { if (current >= 0) window.location.href = cardOf(current); },
  };
  canvas.addEventListener("keydown", (event) => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });

  const tools = document.createElement("div");
  tools.className = "tools";
  for (const [text, label, action] of [
    ["+", "Zoom in", keys["+"]], ["−", "Zoom out", keys["-"]], ["All", "Show all", keys[0]],
  ]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.setAttribute("aria-label", label);
    button.addEventListener("click", action);
    tools.append(button);
  }
  canvas.after(tools);

  // The list: check boxes that highlight, and a filter.
  const legend = document.getElementById("legend");
  const items = [...legend.children];
  for (const item of items) {
    const index = Number(item.dataset.category);
    const box = document.createElement("input");
    box.type = "checkbox";
    box.setAttribute("aria-label", `Highlight ${data.categories[index].name}`);
    box.addEventListener("change", () => {
      if (box.checked) highlighted.add(index);
      else highlighted.delete(index);
      show(-1);
    });
    item.prepend(box);
    if (`#${item.id}` === window.location.hash) box.click();
  }
  const filter = document.createElement("input");
  filter.type = "search";
  filter.placeholder = "Filter categories";
  filter.setAttribute("aria-label", filter.placeholder);
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLocaleLowerCase();
    for (const item of items) {
      const own = data.categories[Number(item.dataset.category)].name.toLocaleLowerCase();
      item.hidden = !own.includes(wanted);
    }
  });
  const clear = document.createElement("button");
  clear.type = "button";
  clear.textContent = "Highlight none";
  clear.addEventListener("click", () => {
    highlighted.clear();
    for (const box of legend.querySelectorAll("input")) box.checked = false;
    show(-1);
  });
  legend.before(filter, clear);

  new ResizeObserver(resize).observe(canvas);
  resize();
})();
