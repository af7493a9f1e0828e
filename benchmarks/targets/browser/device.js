// What a browser tells of itself, and what this page does without in it.

function browserOf(agent) {
  for (const [name, pattern] of [["Edge", /Edg\w*\/(\d+)/], ["Opera", /OPR\/(\d+)/], ["Samsung Internet", /SamsungBrowser\/(\d+)/], ["Firefox", /(?:Firefox|FxiOS)\/(\d+)/], ["Chrome", /(?:Chrome|CriOS|HeadlessChrome)\/(\d+)/], ["Safari", /Version\/(\d+[.\d]*).*Safari/]]) {
    const found = agent.match(pattern);
    if (found) return `${name} ${found[1]}`;
  }
  return "unknown browser";
}

// The GPU that WebGPU gives, by what it tells: `gpu` is empty without one.
async function graphics() {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (!adapter) return { gpu: "", gpu_software: false };
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info ?? {};
  const gpu = description || [vendor, architecture, device].filter(Boolean).join(" ") || "a GPU";
  const software = /swiftshader|llvmpipe|lavapipe|software|basic render|warp/i.test(`${gpu} ${architecture}`);
  return { gpu, gpu_software: software || (isFallbackAdapter ?? adapter.isFallbackAdapter) === true };
}

export async function describe() {
  const agent = navigator.userAgent, hints = navigator.userAgentData;
  const told = (await hints?.getHighEntropyValues?.(["model", "platformVersion", "architecture"]).catch(() => null)) ?? {};
  const brand = hints?.brands?.find((b) => !/Not.?A.?Brand|Chromium/i.test(b.brand)) ?? hints?.brands?.find((b) => b.brand === "Chromium");
  const iPad = /Macintosh/.test(agent) && navigator.maxTouchPoints > 1;
  const mobile = /Android|iPhone|iPad|iPod/.test(agent) || iPad || hints?.mobile === true;
  const android = agent.match(/Android ([\d.]+)(?:; ([^;)]+))?/);
  const system = android ? `Android ${told.platformVersion || android[1]}`
    : iPad ? "iPadOS" : (agent.match(/(?:iPhone|CPU) OS ([\d_]+)/)?.[1].replaceAll("_", ".").replace(/^/, "iOS "))
    ?? [told.platform ?? hints?.platform ?? agent.match(/Windows|Macintosh|CrOS|Linux/)?.[0] ?? "unknown", told.platformVersion, told.architecture].filter(Boolean).join(" ");
  const model = told.model || (android && android[2] && android[2].trim() !== "K" ? android[2].replace(/ Build\/.*/, "").trim() : "");
  const name = model || (android ? "Android device" : iPad || /iPad/.test(agent) ? "iPad" : /iPhone/.test(agent) ? "iPhone" : `${system} computer`);
  const isolated = self.crossOriginIsolated === true;
  return { name, system, mobile, isolated, user_agent: agent, secure: self.isSecureContext === true, cores: navigator.hardwareConcurrency ?? 0, browser: brand ? `${brand.brand} ${brand.version}` : browserOf(agent), ...(await graphics()) };
}

// Lines on what is not there, and why.
export function lacking(device, webgpu) {
  if (!device.secure) {
    return ["This page came by plain http from another machine, so the browser gives it no threads, no WebGPU and a clock with steps of 0.1 ms or more. One thread of WebAssembly is measured."];
  }
  const lines = [];
  if (!device.isolated) lines.push("The browser does not isolate this page: one thread only, and a coarse clock.");
  if (!webgpu) return lines;
  if (!device.gpu) lines.push("The browser has no WebGPU here: WebAssembly alone is measured.");
  else if (device.gpu_software) lines.push(`WebGPU runs in software here (${device.gpu}): its answers are checked, no times are taken.`);
  return lines;
}
