// The table of flipped rows.
(() => {
  "use strict";
  const json = document.getElementById("flips");
  if (!json) return;
  evalkitTable(document.getElementById("flipped-rows"), { noun: "flips", ...JSON.parse(json.textContent) });
})();
