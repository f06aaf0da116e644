// The table of flipped rows.
(() => {
  "use strict";
  const json = document.getElementById("flipped");
  if (!json) return;
  evalkitTable(document.getElementById("flipped-rows"), JSON.parse(json.textContent));
})();
