// What `evalkit view` has more: what is under way, pages that follow their runs, any two compared.
(() => {
  "use strict";
  const box = document.getElementById("now");
  const address = `/now?lang=${document.documentElement.lang}&of=${encodeURIComponent(box.dataset.of)}`;
  let stamp = "";
  const look = async () => {
    try {
      const now = await (await fetch(address)).json();
      box.textContent = now.lines.join("\n");
      box.hidden = !now.lines.length;
      if (stamp && now.stamp !== stamp) location.reload();
      stamp = now.stamp;
    } catch { /* It was stopped: what is shown stays. */ }
    setTimeout(look, 2000);
  };
  look();

  const button = document.getElementById("compare");
  if (!button) return;
  const boxes = [...document.querySelectorAll("#runs input[type=checkbox]")];
  const chosen = () => boxes.filter((one) => one.checked);
  const count = () => { button.disabled = chosen().length !== 2; };
  for (const one of boxes) one.addEventListener("change", count);
  count();
  button.addEventListener("click", () => {
    const view = new URLSearchParams(chosen().map((one) => ["run", one.value]));
    view.set("lang", document.documentElement.lang);
    location.href = `/compare?${view}`;
  });
})();
