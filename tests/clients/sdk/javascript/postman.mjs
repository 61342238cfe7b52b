// Postman's own runtime: a request per line in, its answer per line out.
// See tests/clients/test_postman.py.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(import.meta.url);
const { Collection } = require("postman-collection");
const { Runner } = require("postman-runtime");

function send(asked) {
  const collection = new Collection({ item: [{ request: asked.request }] });
  const options = {};
  if (asked.certfile) {
    // As in Postman's settings: a CA certificate of one's own.
    options.requester = { strictSSL: true, extendedRootCA: asked.certfile };
    options.fileResolver = require("node:fs");
  }
  return new Promise((resolve, reject) => {
    new Runner().run(collection, options, (error, run) => {
      if (error) return reject(error);
      run.start({
        response(error, cursor, response, request) {
          if (error) return reject(error);
          resolve({
            url: request.url.toString(),
            sent: request.getHeaders({ ignoreCase: true, enabled: true }),
            status: response.code,
            headers: response.headers.toObject(true),
            body: response.text(),
          });
        },
        done() {},
      });
    });
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { result: await send(JSON.parse(line)) };
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
