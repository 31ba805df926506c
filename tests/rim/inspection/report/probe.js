// Put into each page by the browser test: uses the page as a person would and says what it saw.
"use strict";
(async () => {
  const seen = { page: document.title, refused: [] };
  document.addEventListener("securitypolicyviolation", (event) => {
    seen.refused.push(event.blockedURI);
  });
  const loaded = (href) =>
    new Promise((resolve) => {
      const image = new Image();
      image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
      image.onerror = () => resolve(null);
      image.src = href;
    });
  const point = (element, kind, x, y) =>
    element.dispatchEvent(
      new PointerEvent(kind, { clientX: x, clientY: y, bubbles: true, pointerId: 1 }),
    );
  const styled = (selector, property) => {
    const element = document.querySelector(selector);
    return element ? getComputedStyle(element)[property] : null;
  };

  const number = (text) => Number.parseFloat(text.replace("−", "-"));

  seen.font = styled("body", "fontSize");
  seen.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  seen.narrow = window.innerWidth <= 400;
  if (seen.narrow) {
    window.parent.postMessage(seen, "*");
    return;
  }
  const images = [...document.querySelectorAll("image[href]")].map((one) => one.href.baseVal);
  seen.images = await Promise.all([...new Set(images)].map(loaded));

  const canvas = document.querySelector("#map canvas");
  if (canvas) {
    const box = canvas.getBoundingClientRect();
    const tip = document.querySelector(".tip");
    const boxes = [...document.querySelectorAll('#legend input[type="checkbox"]')];
    seen.highlighted = boxes.map((one) => one.checked);
    document.querySelector(".legend button").click();
    seen.hovered = {};
    for (let y = box.top; y < box.bottom; y += 6) {
      for (let x = box.left; x < box.right; x += 6) {
        point(canvas, "pointermove", x, y);
        if (tip.hidden) continue;
        const image = tip.querySelector("image");
        const [href, left, top, width, height] = ["href", "x", "y", "width", "height"].map(
          (name) => image.getAttribute(name),
        );
        const text = tip.querySelector(".faint").textContent;
        seen.hovered[text] = [tip.querySelector("b").textContent, href, left, top, width, height];
      }
    }
    const tips = Object.values(seen.hovered);
    seen.tipSizes = await Promise.all(tips.map((one) => loaded(one[1])));
    boxes[2].click();
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    seen.stepped = tip.querySelector("b").textContent;
  }

  const matrix = document.getElementById("matrix");
  if (matrix) {
    const box = matrix.getBoundingClientRect();
    point(matrix, "pointermove", box.left + box.width * 0.9, box.top + box.height * 0.1);
    seen.readout = document.getElementById("readout").textContent;
  }

  const filter = document.querySelector('.filter input[type="search"]');
  if (filter) {
    const rows = () => [...document.querySelectorAll("table.sortable tbody tr")];
    const heading = document.querySelector("table.sortable th.number button");
    const column = heading.parentElement.cellIndex;
    const values = () => rows().map((row) => number(row.cells[column].textContent));
    heading.click();
    seen.down = values();
    heading.click();
    seen.up = values();
    filter.value = "HOUSE";
    filter.dispatchEvent(new Event("input"));
    seen.filtered = rows().filter((row) => !row.hidden).length;
  }

  const attention = document.getElementById("show-attention");
  if (attention) {
    seen.heat = [styled(".attention", "display"), styled(".mask", "display")];
    attention.click();
    document.getElementById("show-mask").click();
    seen.heat.push(styled(".attention", "display"), styled(".mask", "display"));
  }
  window.parent.postMessage(seen, "*");
})();
