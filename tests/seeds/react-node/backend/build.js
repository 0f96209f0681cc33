// Puts the data into the server, so that one file is all that runs.
const fs = require("node:fs");

const ships = JSON.stringify(JSON.parse(fs.readFileSync("ships.json", "utf8")));
fs.mkdirSync("dist", { recursive: true });
fs.writeFileSync("dist/server.js", fs.readFileSync("server.js", "utf8").replace("SHIPS", ships));
