// Renders the pages of a menu from a list, as a site generator would.
const fs = require("node:fs");

const dishes = { soup: "leek and potato", main: "barley risotto", dessert: "baked apple" };
fs.mkdirSync("public", { recursive: true });
const items = Object.entries(dishes).map(([course, dish]) => `<li>${course}: ${dish}</li>`);
fs.writeFileSync("public/index.html", `<!doctype html><title>Menu</title><ul>${items.join("")}</ul>\n`);
