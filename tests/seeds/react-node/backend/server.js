// The pages of the front end, and what they ask for.
const http = require("node:http");
const sirv = require("sirv");

const ships = SHIPS;
const pages = sirv("frontend/build");

http
  .createServer((request, response) => {
    if (request.url === "/api/ships") {
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify(ships));
    } else {
      pages(request, response);
    }
  })
  .listen(3000);
