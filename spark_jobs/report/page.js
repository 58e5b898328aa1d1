document.querySelectorAll("[data-choose]").forEach(function (button) {
  button.addEventListener("click", function () {
    var chosen = button.dataset.choose;
    document.querySelectorAll("[data-choose]").forEach(function (b) { b.setAttribute("aria-pressed", b === button ? "true" : "false"); });
    document.querySelectorAll(".model").forEach(function (m) { m.hidden = m.dataset.model !== chosen; });
    document.querySelectorAll("[data-column]").forEach(function (c) { if (c.dataset.column === chosen) { c.setAttribute("aria-current", "true"); } else { c.removeAttribute("aria-current"); } });
  });
});
