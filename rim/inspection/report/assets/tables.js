// Tables that can be filtered and sorted; without this script they are whole and in their order.
"use strict";
for (const table of document.querySelectorAll("table.filterable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  if (rows.length < 2) continue;

  const box = document.createElement("p");
  box.className = "filter";
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = `Filter ${table.dataset.what}`;
  input.setAttribute("aria-label", input.placeholder);
  const count = document.createElement("output");
  count.className = "faint";
  box.append(input, count);
  table.parentElement.before(box);
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLocaleLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = wanted !== "" && !row.textContent.toLocaleLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    count.value = wanted === "" ? "" : `${shown} of ${rows.length}`;
  });

  table.querySelectorAll("thead th").forEach((heading, column) => {
    if (heading.querySelector(".unseen")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") !== "descending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const number = heading.classList.contains("number");
      const text = (row) => row.cells[column].textContent.trim();
      const value = (row) => {
        const found = Number.parseFloat(text(row).replaceAll(",", "").replace("−", "-"));
        return Number.isNaN(found) ? -Infinity : found;
      };
      const compare = number
        ? (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0)
        : (a, b) => -text(a).localeCompare(text(b));
      rows.sort((a, b) => (down ? -compare(a, b) : compare(a, b)));
      body.append(...rows);
    });
  });
}
