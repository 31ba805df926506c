// Says which two categories the pointer is on in the matrix; a click opens the row's page.
"use strict";
(() => {
  const data = window.rimSimilarity;
  const matrix = document.getElementById("matrix");
  if (!data || !matrix) return;
  const readout = document.getElementById("readout");
  const count = data.names.length;
  const steps = Uint8Array.from(atob(data.steps), (one) => one.charCodeAt(0));

  function pairAt(event) {
    const box = matrix.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * count);
    const row = Math.floor(((event.clientY - box.top) / box.height) * count);
    const inside = row >= 0 && column >= 0 && row < count && column < count;
    return inside ? [row, column] : null;
  }

  function isolated(text) {
    const element = document.createElement("bdi");
    element.textContent = text;
    return element;
  }

  matrix.addEventListener("pointermove", (event) => {
    const pair = pairAt(event);
    if (!pair) return;
    const [row, column] = pair;
    const share = steps[row * count + column] / 255;
    const cosine = row === column ? 1 : data.low + share * (data.high - data.low);
    readout.replaceChildren(
      isolated(data.names[row]), " × ", isolated(data.names[column]), `  ${cosine.toFixed(2).replace("-", "−")}`,
    );
  });
  matrix.addEventListener("pointerleave", () => readout.replaceChildren("\u00a0"));
  matrix.addEventListener("click", (event) => {
    const pair = pairAt(event);
    if (pair) window.location.href = `categories/${data.pages[pair[0]]}`;
  });
})();
