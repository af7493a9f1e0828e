// The page: a picture that is chosen, and what the model says of it.
import { decoded, open } from "./src/browser.js";

const at = (id) => document.getElementById(id);
const opened = open();
const shown = (failure) => { at("status").textContent = String(failure?.message ?? failure); };

at("file").addEventListener("change", async () => {
  const [file] = at("file").files;
  if (!file) return;
  try {
    at("status").textContent = "Looking…";
    const model = await opened, picture = await decoded(file);
    const found = await model.classify(picture);
    picture.close();
    at("answers").replaceChildren(...found.slice(0, 5).map(({ label, probability, decided }) => {
      const line = document.createElement("li"), text = `${label}: ${(100 * probability).toFixed(1)} %`;
      line.append(decided ? Object.assign(document.createElement("strong"), { textContent: text }) : text);
      return line;
    }));
    at("status").textContent = found.filter(({ decided }) => decided).map(({ label }) => label).join(", ") || "None of its labels.";
  } catch (failure) {
    shown(failure);
  }
});

opened.then(() => { at("status").textContent = "Choose a picture."; at("file").disabled = false; }, shown);
