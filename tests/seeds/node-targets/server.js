// Answers in words how long a number of milliseconds is.
const http = require("node:http");
const ms = require("ms");

const mode = "development";

http
  .createServer((request, response) => {
    const words = ms(Number(request.url.slice(1)), { long: true });
    response.end(`${words} (${mode})\n`);
  })
  .listen(3000);
