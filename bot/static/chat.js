"use strict";
// The page works without this script. With it: no reload, photo previews, upload progress, focus kept where one writes.
(() => {
  document.documentElement.classList.add("js");
  const byId = (id) => document.getElementById(id);
  const log = byId("log"), choices = byId("choices"), write = byId("write"), text = byId("text"), photo = byId("photo");
  const previews = byId("previews"), progress = byId("progress"), trouble = byId("trouble"), photos = byId("photos");
  let chosen = [];
  let busy = false;

  const styled = (parent, spans) => {
    for (const span of spans) {
      const tag = { bold: "strong", italic: "em", code: "code" }[span.style];
      const node = tag ? document.createElement(tag) : document.createTextNode(span.text);
      if (tag) node.textContent = span.text;
      parent.append(node);
    }
  };
  const bubble = (who, spans, pictures = []) => {
    const box = document.createElement("div");
    box.className = `message ${who}`;
    const name = document.createElement("span");
    name.className = "unseen";
    name.textContent = `${log.dataset[who]}: `;
    const words = document.createElement("p");
    styled(words, spans);
    box.append(name, words);
    for (const file of pictures) {
      const picture = document.createElement("img");
      picture.alt = "";
      picture.src = URL.createObjectURL(file);
      box.append(picture);
    }
    log.append(box);
    return box;
  };
  const draw = (messages) => {
    let first = null;
    for (const message of messages) {
      const box = bubble("bot", message.spans);
      if (message.document) {
        const line = document.createElement("p");
        const link = document.createElement("a");
        link.href = message.document;
        link.target = "_blank";
        link.rel = "noreferrer";
        link.textContent = log.dataset.download;
        line.append(link);
        box.append(line);
      }
      first = first || box;
    }
    const last = messages[messages.length - 1];
    choices.querySelector(".choices")?.remove();
    if (last && last.choices.length) {
      const set = document.createElement("fieldset");
      set.className = "choices";
      for (const choice of last.choices) {
        const button = document.createElement("button");
        button.name = "choice";
        button.value = choice.id;
        const label = document.createElement("span");
        label.textContent = choice.label;
        button.append(label);
        if (choice.detail) {
          const detail = document.createElement("small");
          detail.textContent = ` ${choice.detail}`;
          button.append(detail);
        }
        set.append(button);
      }
      choices.append(set);
    }
    if (last) photos.classList.toggle("quiet", last.wants !== "photo");
    (first || log).scrollIntoView({ block: "start", behavior: "auto" });
  };
  const showPreviews = () => {
    previews.replaceChildren();
    previews.hidden = !chosen.length;
    chosen.forEach((file, index) => {
      const item = document.createElement("li");
      const picture = document.createElement("img");
      picture.alt = file.name;
      picture.src = URL.createObjectURL(file);
      const remove = document.createElement("button");
      remove.type = "button";
      remove.textContent = "×";
      remove.setAttribute("aria-label", `${previews.dataset.remove} ${index + 1}`);
      remove.addEventListener("click", () => {
        chosen.splice(index, 1);
        showPreviews();
        photo.focus();
      });
      item.append(picture, remove);
      previews.append(item);
    });
  };
  const wait = (on) => {
    busy = on;
    for (const button of document.querySelectorAll(".answer button, .choices button")) button.disabled = on;
    if (!on) progress.hidden = true;
  };
  // A request whose answer was lost is asked again under its own number, so that nothing is done twice and no answer is missed.
  let lost = null;
  const post = (body, pictures) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/chat");
    request.responseType = "json";
    request.timeout = 120000;
    if (pictures) {
      progress.hidden = false;
      request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) progress.value = (100 * event.loaded) / event.total; });
    }
    request.addEventListener("load", () => {
      if (request.status === 200 && request.response) resolve(request.response.messages);
      else reject(request.status === 429 ? "busy" : "failed");
    });
    request.addEventListener("error", () => reject("failed"));
    request.addEventListener("timeout", () => reject("failed"));
    request.send(body);
  });
  const send = async (fields, said, pictures) => {
    if (busy) return;
    wait(true);
    trouble.hidden = true;
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) body.append(name, value);
    for (const file of pictures) body.append("photo", file);
    body.append("nonce", crypto.getRandomValues(new Uint32Array(3)).join(""));
    const key = JSON.stringify(fields) + pictures.map((file) => file.name + file.size).join();
    const mine = bubble("you", [{ text: said, style: "" }], pictures);
    try {
      if (lost) {
        const again = lost;
        const answers = await post(again.body, false);
        lost = null;
        draw(answers);
        if (again.key === key) {
          finish(fields);
          return;
        }
        log.append(mine);
      }
      lost = { body, key };
      const answers = await post(body, pictures.length > 0);
      lost = null;
      draw(answers);
      finish(fields);
    } catch (reason) {
      if (reason === "busy") lost = null;
      mine.remove();
      trouble.textContent = trouble.dataset[reason] || trouble.dataset.failed;
      trouble.hidden = false;
      wait(false);
    }
  };
  const finish = (fields) => {
    wait(false);
    if (!fields.choice) { text.value = ""; chosen = []; photo.value = ""; showPreviews(); }
    if (!matchMedia("(pointer: coarse)").matches) text.focus({ preventScroll: true });
  };
  choices.addEventListener("submit", (event) => {
    event.preventDefault();
    const button = event.submitter;
    if (button) send({ choice: button.value }, button.querySelector("span").textContent, []);
  });
  write.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (words || chosen.length) send({ text: words }, words, chosen.slice());
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      write.requestSubmit();
    }
  });
  photo.addEventListener("change", () => {
    chosen = chosen.concat([...photo.files]).slice(0, 10);
    photo.value = "";
    showPreviews();
  });
})();
