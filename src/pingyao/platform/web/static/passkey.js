// Security keys: the node's questions in base64url become bytes for the browser, its answers become text again.
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const described = (list) => (list || []).map((d) => ({ ...d, id: bytes(d.id) }));
  const plain = (made) => {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"])
      if (made.response[name]) response[name] = text(made.response[name]);
    return { id: made.id, rawId: text(made.rawId), type: made.type, response };
  };
  const failed = (form) => { form.querySelector("[data-failed]").hidden = false; };

  const register = document.querySelector("[data-passkey=register]");
  if (register) register.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const asked = await fetch("/account/passkeys/options", { method: "POST" });
      const options = await asked.json();
      options.challenge = bytes(options.challenge);
      options.user.id = bytes(options.user.id);
      options.excludeCredentials = described(options.excludeCredentials);
      register.credential.value = JSON.stringify(plain(await navigator.credentials.create({ publicKey: options })));
      register.submit();
    } catch { failed(register); }
  });

  const answer = document.querySelector("[data-passkey=answer]");
  if (answer) answer.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const options = JSON.parse(answer.dataset.options);
      options.challenge = bytes(options.challenge);
      options.allowCredentials = described(options.allowCredentials);
      answer.shown.value = JSON.stringify(plain(await navigator.credentials.get({ publicKey: options })));
      answer.submit();
    } catch { failed(answer); }
  });
})();
