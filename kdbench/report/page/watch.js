"use strict";
// The server that watches the records tells when they have changed.
setInterval(async () => {
  try {
    const version = await (await fetch("version", { cache: "no-store" })).text();
    if (window.kdbenchVersion && window.kdbenchVersion !== version) location.reload();
    window.kdbenchVersion = version;
  } catch {
    // The server has gone: the page stays as it is.
  }
}, 2000);
