"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", turn === 1 ? "ascending" : "descending");
    const numbers = head.classList.contains("number");
    const value = (row) => row.cells[column].dataset.v;
    const compare = (a, b) => {
      if (a === "" || b === "") return (a === "") - (b === ""); // what is not known comes last
      return turn * (numbers ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true }));
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a), value(b)));
    table.tBodies[0].append(...rows);
  }));
}
