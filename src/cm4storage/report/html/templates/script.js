"use strict";
// The page is complete without this: it adds sorting, values at the pointer, and copying.
(() => {
  const tip = document.getElementById("tip");

  // Values at the pointer, or at the arrow keys where a plot has the focus.
  for (const canvas of document.querySelectorAll(".canvas")) {
    const spots = [...canvas.querySelectorAll(".spots rect")];
    if (!spots.length) continue;
    const texts = spots.map((spot) => {
      const title = spot.querySelector("title");
      const text = title.textContent;
      title.remove(); // else the browser shows it as well
      return text;
    });
    let at = -1;
    const hide = () => {
      if (at >= 0) spots[at].classList.remove("on");
      at = -1;
      tip.hidden = true;
    };
    const show = (index) => {
      hide();
      at = index;
      spots[at].classList.add("on");
      tip.textContent = texts[at];
      tip.hidden = false;
      const place = spots[at].getBoundingClientRect();
      const box = tip.getBoundingClientRect();
      const middle = place.left + place.width / 2 - box.width / 2;
      const right = document.documentElement.clientWidth - box.width - 8;
      tip.style.left = `${Math.max(8, Math.min(middle, right)) + window.scrollX}px`;
      const above = place.top - box.height - 6;
      tip.style.top = `${(above > 0 ? above : place.bottom + 6) + window.scrollY}px`;
    };
    // By place and not by target: a spot may be narrower than a pixel. Its row comes first.
    const nearest = ({ clientX, clientY }) => {
      const field = spots[0].ownerSVGElement.getBoundingClientRect();
      const share = ((clientX - field.left) / field.width) * 100;
      const down = ((clientY - field.top) / field.height) * 100;
      let best = 0, least = Infinity;
      spots.forEach((spot, index) => {
        const left = parseFloat(spot.getAttribute("x"));
        const width = parseFloat(spot.getAttribute("width"));
        const top = parseFloat(spot.getAttribute("y") || "0");
        const height = parseFloat(spot.getAttribute("height"));
        const apart = Math.max(top - down, down - top - height, 0);
        const distance = Math.max(left - share, share - left - width, 0) + apart * 100;
        if (distance < least) [best, least] = [index, distance];
      });
      return best;
    };
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "group");
    canvas.setAttribute("aria-label", `${canvas.dataset.name}; the arrow keys show values`);
    canvas.addEventListener("pointermove", (event) => show(nearest(event)));
    canvas.addEventListener("pointerdown", (event) => show(nearest(event)));
    canvas.addEventListener("pointerleave", hide);
    canvas.addEventListener("blur", hide);
    canvas.addEventListener("keydown", (event) => {
      const moves = {
        ArrowLeft: Math.max(0, at - 1),
        ArrowRight: Math.min(spots.length - 1, at + 1),
        Home: 0,
        End: spots.length - 1,
      };
      if (event.key === "Escape") hide();
      if (!(event.key in moves)) return;
      event.preventDefault();
      show(moves[event.key]);
    });
  }

  // Sorting: numbers by data-v, else the text. Cells without a value go last.
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    if (!("v" in cell.dataset)) return cell.textContent.trim();
    return cell.dataset.v === "None" ? null : Number(cell.dataset.v);
  };
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return (a - b) * sign;
    return String(a).localeCompare(String(b), "en", { numeric: true }) * sign;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((head, column, heads) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const falling = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((each) => each.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const sign = falling ? -1 : 1;
        const rows = [...body.rows];
        rows.sort((a, b) => compare(valueOf(a, column), valueOf(b, column), sign));
        body.append(...rows);
      });
    });
  }

  // Copying a command; browsers allow it where the page is trusted.
  for (const block of document.querySelectorAll("pre")) {
    if (!navigator.clipboard) break;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(block.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    block.before(button);
  }

  // Paper has no way to open what is closed.
  const closed = new Set();
  window.addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details:not([open])")) {
      closed.add(each);
      each.open = true;
    }
  });
  window.addEventListener("afterprint", () => {
    for (const each of closed) each.open = false;
    closed.clear();
  });
})();
