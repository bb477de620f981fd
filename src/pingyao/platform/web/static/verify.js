// Verifying a file: its SHA-256 is computed here, so that the file need not leave this browser.
(() => {
  const form = document.querySelector("[data-verify]");
  if (!form) return;
  const input = form.querySelector("input[type=file]"), said = form.querySelector("[data-said]");
  const most = Number(form.dataset.most);
  const say = (what) => { said.textContent = what ? said.dataset[what] : ""; said.hidden = !what; };
  const named = (file) => `name=${encodeURIComponent(file.name.slice(-255))}`;
  const ask = async (path, body) => {
    const answer = await fetch(path, { method: "POST", body, headers: body.type === undefined ? {} : { "content-type": "application/octet-stream" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const result = page.getElementById("result") || page.querySelector("main .card");
    if (answer.redirected || !result) { location.reload(); return; }
    result.id = "result";
    result.tabIndex = -1;
    document.getElementById("result").replaceWith(result);
    result.focus();
  };
  const hash = async (file) => {
    const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("");
  };
  const run = async (begin, work) => {
    input.disabled = true;
    say(begin);
    try { await work(); say(""); } catch { say("failed"); }
    input.disabled = false;
  };
  const check = () => {
    const file = input.files[0];
    if (!file) return;
    if (file.name.endsWith(".tlog-proof")) run("sending", () => ask(`/evidence/verify/proof?${named(file)}`, file));
    else run("hashing", async () => ask("/evidence/verify", new URLSearchParams({ name: file.name.slice(-255), sha256: await hash(file) })));
  };

  input.addEventListener("change", check);
  form.addEventListener("submit", (event) => { event.preventDefault(); check(); });
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) { input.files = event.dataTransfer.files; check(); }
  });
  document.addEventListener("click", (event) => {
    const file = input.files[0];
    if (!file || !event.target.closest("[data-send]")) return;
    if (file.size > most) say("large");
    else run("sending", () => ask(`/evidence/verify/file?${named(file)}`, file));
  });
})();
