// node ingress.mjs <port>: raw body, HMAC, queue.add with the event's id as the job's, one line, 202.

import { createHmac, timingSafeEqual } from "node:crypto";

import { Queue } from "bullmq";
import Fastify, { LogController } from "fastify";

import { JOB_OPTIONS, QUEUE, SOURCE, connect, log } from "./shared.mjs";

const secret = process.env.BENCH_SECRET;
const queue = new Queue(QUEUE, { connection: connect(), defaultJobOptions: JOB_OPTIONS });
const app = Fastify({ loggerInstance: log(), logController: new LogController({ disableRequestLogging: true }) });

function genuine(body, signature) {
  const expected = createHmac("sha256", secret).update(body).digest();
  const given = Buffer.from(signature ?? "", "hex");
  return given.length === expected.length && timingSafeEqual(given, expected);
}

const answer = {
  202: { type: "object", properties: { status: { type: "string" }, event_id: { type: "string" } } },
};

app.removeAllContentTypeParsers();
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
app.post("/webhooks/pack-orders", { schema: { response: answer } }, async (request, reply) => {
  const body = request.body;
  if (!genuine(body, request.headers["x-signature"])) {
    return reply.code(401).send({ status: "rejected" });
  }
  const text = body.toString();
  const notice = JSON.parse(text);
  // A duplicate cannot be told from a new one here: add answers both alike.
  await queue.add("event", { body: text, recordId: notice.data.id }, { jobId: `${SOURCE}-${notice.id}` });
  const fields = { source: SOURCE, event_type: notice.event_code, event_id: notice.id, status: "queued", http_status: 202 };
  request.log.info(fields, "delivery.received");
  return reply.code(202).send({ status: "queued", event_id: notice.id });
});

process.on("SIGTERM", () => process.exit(0));
await queue.waitUntilReady();
await app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
