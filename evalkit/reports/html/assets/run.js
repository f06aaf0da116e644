"use strict";
evalkitTable(document.getElementById("rows"), JSON.parse(document.getElementById("predictions").textContent));

// Gates by what they say.
{
  const box = document.querySelector(".pick");
  const buttons = box ? [...box.querySelectorAll("button")] : [];
  const pick = (outcome) => {
    for (const body of document.querySelectorAll(".gates tbody")) {
      const rows = [...body.querySelectorAll("tr[data-outcome]")];
      for (const row of rows) row.hidden = outcome !== "" && row.dataset.outcome !== outcome;
      body.hidden = rows.every((row) => row.hidden);
    }
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.value === outcome));
  };
  for (const button of buttons) button.addEventListener("click", () => pick(button.value));
  if (box) box.hidden = false;
}

// Rows behind a gate lie in a folded box: a link to them opens it.
{
  const reveal = () => {
    const found = document.getElementById(location.hash.slice(1));
    const box = found && found.closest("details");
    if (box) { box.open = true; box.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);
  reveal();
}
