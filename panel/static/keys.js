// A form that asks for a security key waits for the browser's own question, and is sent with the key's answer.
"use strict";

(function () {
  function bytes(text) {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(plain, function (sign) { return sign.charCodeAt(0); });
  }

  function text(buffer) {
    if (!buffer) return null;
    const plain = Array.from(new Uint8Array(buffer), function (byte) { return String.fromCharCode(byte); }).join("");
    return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  function named(list) {
    return (list || []).map(function (one) { return { type: one.type, id: bytes(one.id) }; });
  }

  function ask(question, register) {
    question.challenge = bytes(question.challenge);
    if (!register) {
      question.allowCredentials = named(question.allowCredentials);
      return navigator.credentials.get({ publicKey: question });
    }
    question.user.id = bytes(question.user.id);
    question.excludeCredentials = named(question.excludeCredentials);
    return navigator.credentials.create({ publicKey: question });
  }

  function answer(credential) {
    const given = credential.response;
    const response = { clientDataJSON: text(given.clientDataJSON) };
    if (given.attestationObject) response.attestationObject = text(given.attestationObject);
    else {
      response.authenticatorData = text(given.authenticatorData);
      response.signature = text(given.signature);
      response.userHandle = text(given.userHandle);
    }
    return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response: response });
  }

  // The sentence for browsers where this file does not run goes where it does.
  document.querySelectorAll(".key [data-say=no-script]").forEach(function (line) { line.hidden = true; });

  document.addEventListener("submit", function (event) {
    const form = event.target;
    const box = form.querySelector(".key");
    if (!box) return;
    const given = box.querySelector("input[name=key]");
    const code = form.querySelector("input[name=code]");
    if (given.value || (code && code.value)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (form.dataset.asking) return;

    function say(name) {
      box.querySelectorAll("[data-say]").forEach(function (line) { line.hidden = line.dataset.say !== name; });
    }

    if (!window.PublicKeyCredential || !navigator.credentials) { say("unable"); return; }
    say("");
    form.dataset.asking = "1";
    ask(JSON.parse(box.dataset.question), "newKey" in form.dataset).then(function (credential) {
      given.value = answer(credential);
      form.requestSubmit(event.submitter);
    }).catch(function () {
      say("failed");
    }).finally(function () {
      delete form.dataset.asking;
    });
  });
})();
