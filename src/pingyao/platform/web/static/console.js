// All there is of our own script: choosing a whole page of columns at once.
document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-chooses]");
  if (!all) return;
  for (const box of document.querySelectorAll(`input[name="${all.dataset.chooses}"]`)) box.checked = all.checked;
});
