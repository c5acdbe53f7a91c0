// Shortcuts and small comforts. Every page works without this file.
"use strict";

(function () {
  const rows = Array.from(document.querySelectorAll("#rows .row"));
  let at = -1;

  function move(step) {
    if (!rows.length) return;
    at = Math.max(0, Math.min(rows.length - 1, at + step));
    const link = rows[at].querySelector("h2 a");
    link.focus();
    rows[at].scrollIntoView({ block: "nearest" });
  }

  function typing(target) {
    return target.closest("input, textarea, select, [contenteditable]") !== null;
  }

  rows.forEach(function (row, number) {
    row.addEventListener("focusin", function () { at = number; });
  });

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "c") {
      const button = rows.length ? (at >= 0 && rows[at].querySelector(".row-take button")) : document.querySelector("[data-key=c]");
      if (button) button.click();
    } else if (event.key === "/") {
      const words = document.getElementById("cari");
      if (!words) return;
      words.closest("details").open = true;
      words.focus();
    } else if (event.key === "?") {
      const keys = document.getElementById("keys");
      if (!keys) return;
      keys.open = !keys.open;
      keys.scrollIntoView({ block: "nearest" });
    } else return;
    event.preventDefault();
  });

  // A second click on a button does not send a form twice.
  document.addEventListener("submit", function (event) {
    const form = event.target;
    if (form.method === "get") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    setTimeout(function () { delete form.dataset.sent; }, 3000);
  });

  // A running broadcast shows itself anew, unless somebody is at work on the page.
  const running = document.querySelector("[data-running]");
  if (running) setInterval(function () {
    if (!document.hidden && !typing(document.activeElement || document.body)) location.reload();
  }, Number(running.dataset.running) * 1000);
})();
