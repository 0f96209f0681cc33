// The production build: the server with its mode settled.
const fs = require("node:fs");

fs.mkdirSync("dist", { recursive: true });
const source = fs.readFileSync("server.js", "utf8");
fs.writeFileSync("dist/server.js", source.replace('"development"', '"production"'));
