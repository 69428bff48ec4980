"use strict";
for (const box of document.querySelectorAll(".slider")) {
  const rows = JSON.parse(box.querySelector("script").textContent);
  const slider = box.querySelector("input");
  const cursor = box.closest("section").querySelector(".cursor");
  const start = Number(box.dataset.start);
  const show = () => {
    const row = rows[slider.value];
    const text = (value) => (value === null ? "–" : value.toFixed(3));
    box.querySelector("[data-of=threshold]").textContent = row.threshold;
    for (const name of ["precision", "recall", "f1"]) {
      box.querySelector(`[data-of=${name}]`).textContent = text(row[name]);
    }
    box.querySelector("[data-of=kept]").textContent = row.kept_per_query.toFixed(1);
    box.querySelector("[data-of=empty]").textContent = row.empty_queries;
    cursor.setAttribute("transform", `translate(${(row.place - start) * box.dataset.width} 0)`);
  };
  slider.addEventListener("input", show);
  box.hidden = false;
  show();
}
