"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const details = JSON.parse(document.getElementById("details").textContent);
  const epoch = () => document.documentElement.dataset.epoch;

  // Sorting: a header is a button; numbers start with the highest, text from A. What has no number stays last.
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset[epoch()] ?? cell.dataset.value ?? cell.textContent.trim();
    const numeric = cell.classList.contains("number") || cell.classList.contains("mark");
    const number = parseFloat(text.replace("−", "-").replace(/[,>]/g, ""));
    return text === "" || text === "–" ? null : numeric && !Number.isNaN(number) ? number : text.toLowerCase();
  };
  const sort = (header, direction) => {
    const table = header.closest("table");
    const body = table.tBodies[0];
    const column = header.cellIndex;
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const mixed = typeof a !== typeof b;
      return sign * (mixed ? (typeof a === "number" ? -1 : 1) : a < b ? -1 : a > b ? 1 : 0);
    });
    body.append(...rows.map(([, row]) => row));
    all("th[aria-sort]", table.tHead).forEach((other) => other.setAttribute("aria-sort", "none"));
    header.setAttribute("aria-sort", direction);
  };
  all("table.sortable thead th").forEach((header) => {
    header.querySelector("button").addEventListener("click", () => {
      const first = /number|mark/.test(header.className) ? "descending" : "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      sort(header, header.getAttribute("aria-sort") === first ? second : first);
    });
  });

  // Filters by pair and by method reach tables and figures alike.
  const filter = () => {
    const chosen = {};
    all("fieldset[data-filter]").forEach((fieldset) => {
      const boxes = all("input", fieldset);
      const on = boxes.filter((box) => box.checked);
      chosen[fieldset.dataset.filter] = new Set(on.map((box) => box.value));
      const said = on.length === boxes.length ? "all" : `${on.length} of ${boxes.length}`;
      fieldset.parentElement.querySelector("output").textContent = said;
    });
    all("[data-pair],[data-method]").forEach(({ dataset, classList }) => {
      const out = (kind) => kind in dataset && !chosen[kind].has(dataset[kind]);
      classList.toggle("off", out("pair") || out("method"));
    });
    all("figure[data-methods]").forEach((figure) => {
      const methods = figure.dataset.methods.split(" ");
      all("[data-row]", figure).forEach((line) => line.classList.toggle("off", !chosen.method.has(methods[line.dataset.row])));
    });
    all("figure.table").forEach((table) => {
      const left = all("tbody tr:not(.off)", table).length && all("thead th[data-pair]:not(.off)", table).length;
      table.classList.toggle("off", !left);
    });
  };
  all("fieldset[data-filter]").forEach((fieldset) => {
    fieldset.addEventListener("change", filter);
    fieldset.querySelector("[data-all]").addEventListener("click", () => {
      const boxes = all("input", fieldset);
      const on = !boxes.every((box) => box.checked);
      boxes.forEach((box) => { box.checked = on; });
      filter();
    });
  });
  document.addEventListener("click", (event) => {
    all("details.pick[open]").forEach((pick) => { if (!pick.contains(event.target)) pick.open = false; });
  });

  all("input[name=epoch]").forEach((radio) => radio.addEventListener("change", () => {
    document.documentElement.dataset.epoch = radio.value;
    all("figure.table th.number:not([aria-sort=none])").forEach((header) => sort(header, header.getAttribute("aria-sort")));
  }));

  // The card of a cell: seeds with their runs, the paper's value, where the record lies.
  const card = document.getElementById("card");
  const add = (parent, tag, text, name) => {
    const part = parent.appendChild(document.createElement(tag));
    if (text !== undefined) part.textContent = text;
    if (name) part.className = name;
    return part;
  };
  let owner = null;
  const show = (button) => {
    const found = details[button.dataset.cell];
    if (owner) owner.removeAttribute("aria-expanded");
    owner = button;
    button.setAttribute("aria-expanded", "true");
    card.replaceChildren();
    add(card, "h4", found.title);
    if (found.params) add(card, "p", found.params);
    if (found.declined) add(card, "p", found.declined);
    const body = add(add(card, "table"), "tbody");
    found.seeds.forEach((seed) => {
      const row = add(body, "tr");
      add(row, "td", `seed ${seed.seed}`);
      const top5 = seed.top5 !== undefined && epoch() === "last" ? `, top-5 ${seed.top5} %` : "";
      add(row, "td", seed[epoch()] === undefined ? seed.status : `${seed[epoch()]} %${top5}`, "value");
      add(row, "td", `records/${seed.id}.json`, "hash");
    });
    if (found.paper) {
      const by = found.difference[epoch()];
      add(card, "p", `paper: ${found.paper}${by === null ? "" : `; ours is ${by}`}`);
    }
    card.hidden = false;
    const box = button.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - card.offsetWidth - 12);
    const below = box.bottom + card.offsetHeight + 12 < window.innerHeight;
    card.style.left = `${Math.max(left, 8) + window.scrollX}px`;
    card.style.top = `${(below ? box.bottom + 6 : box.top - card.offsetHeight - 6) + window.scrollY}px`;
  };
  const hide = () => {
    if (owner) owner.removeAttribute("aria-expanded");
    owner = null;
    card.hidden = true;
  };
  all("button.cell").forEach((button) => {
    button.addEventListener("mouseenter", () => show(button));
    button.addEventListener("focus", () => show(button));
    button.addEventListener("click", () => show(button));
    button.addEventListener("mouseleave", hide);
    button.addEventListener("blur", hide);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    hide();
    all("details.pick[open]").forEach((pick) => {
      pick.open = false;
      pick.querySelector("summary").focus();
    });
  });
  window.addEventListener("beforeprint", () => all("details.runs,details.evidence").forEach((part) => { part.open = true; }));
})();
